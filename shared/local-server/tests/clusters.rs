//! Clusters of the private Postgres: made, found again, killed, damaged.

mod place;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use local_server::{EmbeddedConfig, EmbeddedError, EmbeddedServer, find_bin_dir};
use place::{Bystander, Place, ask, signal};
use rustix::process::Signal;

#[tokio::test]
async fn what_was_written_is_there_in_the_next_run() {
    let place = Place::new();
    let first = place.start().await;
    ask(&first, "create table kept as select 'grüße' as word");
    assert_eq!(ask(&first, "show server_encoding"), "UTF8");
    assert_eq!(ask(&first, "show data_checksums"), "on");
    assert_eq!(ask(&first, "show listen_addresses"), "127.0.0.1");
    let (password, port) = (first.credentials().password.clone(), first.credentials().port);
    first.release().await.unwrap();

    let second = place.start().await;
    assert_eq!(ask(&second, "select word from kept"), "grüße");
    assert_eq!(second.credentials().password, password);
    assert_eq!(
        second.credentials().port,
        port,
        "the port of the last run is free, so it is taken again"
    );
    second.release().await.unwrap();
}

#[tokio::test]
async fn a_durable_cluster_is_the_default() {
    let place = Place::new();
    let config = EmbeddedConfig {
        settings: Vec::new(),
        ..place.config()
    };
    let server = EmbeddedServer::start(config).await.unwrap();
    assert_eq!(
        ask(
            &server,
            "select current_setting('fsync') || current_setting('synchronous_commit')"
        ),
        "onon"
    );
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_is_in_no_log() {
    let place = Place::new();
    let server = place.start().await;
    let credentials = server.credentials();
    for host in ["127.0.0.1", place.data_dir().join("cluster").to_str().unwrap()] {
        let done = Command::new(server.bin_dir().join("psql"))
            .args([
                "-XAt",
                "-c",
                "select 1",
                "-h",
                host,
                "-p",
                &credentials.port.to_string(),
            ])
            .args(["-U", &credentials.user, "-d", &credentials.database])
            .env("PGPASSWORD", "psw")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("password authentication failed"), "{said}");
    }
    let log = fs::read_to_string(place.data_dir().join("server.log")).unwrap();
    assert!(!log.contains(&credentials.password));
    assert!(!format!("{server:?}").contains(&credentials.password));
    for secret in ["cluster/password", ".postgres.psw"] {
        let mode = fs::metadata(place.data_dir().join(secret)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_by_now_is_replaced() {
    let place = Place::new();
    let first = place.start().await;
    let port = first.credentials().port;
    first.release().await.unwrap();

    let rival = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let second = place.start().await;
    assert_ne!(second.credentials().port, port);
    assert_eq!(ask(&second, "select 1"), "1");
    second.release().await.unwrap();
    drop(rival);
}

#[tokio::test]
async fn a_killed_server_starts_again_though_another_process_has_its_pid() {
    let place = Place::new();
    let first = place.start().await;
    ask(&first, "create table kept as select 42 as answer");
    place.kill_server();

    let mut bystander = Bystander::new(&place);
    let socket = format!("cluster/.s.PGSQL.{}.lock", first.credentials().port);
    for path in [place.pid_file(), place.data_dir().join(socket)] {
        let text = fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        fs::write(&path, format!("{}\n{rest}", bystander.0.id())).unwrap();
    }
    drop(first);

    let second = place.start().await;
    assert_eq!(ask(&second, "select answer from kept"), "42");
    assert!(
        bystander.0.try_wait().unwrap().is_none(),
        "the other process was left alone"
    );
    second.release().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_starts_again_at_once_while_its_children_are_still_leaving() {
    let place = Place::new();
    let server = place.start().await;
    for _ in 0..3 {
        ask(&server, "select 1");
        signal(place.pid().unwrap(), Signal::KILL);
        let next = place.start().await;
        assert_eq!(ask(&next, "select 1"), "1");
        drop(next);
    }
    drop(server);
    place.start().await.release().await.unwrap();
    assert_eq!(place.pid(), None);
}

#[tokio::test]
async fn an_empty_pid_file_is_no_obstacle() {
    let place = Place::new();
    place.start().await.release().await.unwrap();
    fs::write(place.pid_file(), "").unwrap();
    place.start().await.release().await.unwrap();
}

#[tokio::test]
async fn a_half_made_cluster_is_made_anew() {
    let place = Place::new();
    let half = place.data_dir().join("cluster.new");
    fs::create_dir_all(half.join("data/base")).unwrap();
    fs::write(half.join("data/PG_VERSION"), "15\n").unwrap();
    fs::write(half.join("password"), "half\n").unwrap();
    fs::set_permissions(place.data_dir(), Permissions::from_mode(0o755)).unwrap();

    let server = place.start().await;
    assert_eq!(ask(&server, "select 1"), "1");
    assert!(!half.exists());
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_by_name() {
    let place = Place::new();
    place.start().await.release().await.unwrap();
    fs::write(place.data_dir().join("cluster/data/PG_VERSION"), "8\n").unwrap();
    let error = EmbeddedServer::start(place.config()).await.unwrap_err();
    assert!(
        matches!(&error, EmbeddedError::OtherVersion { cluster, .. } if cluster == "8"),
        "{error:?}"
    );
    let text = error.to_string();
    let bin_dir = find_bin_dir().unwrap();
    assert!(
        text.contains("was made by Postgres 8") && text.contains(bin_dir.to_str().unwrap()),
        "{text}"
    );
}

#[tokio::test]
async fn a_cluster_without_its_password_is_reported_and_not_replaced() {
    let place = Place::new();
    place.start().await.release().await.unwrap();
    let password = place.data_dir().join("cluster/password");
    fs::remove_file(&password).unwrap();
    let error = EmbeddedServer::start(place.config()).await.unwrap_err();
    assert!(
        matches!(
            error,
            EmbeddedError::Damaged {
                missing: "password",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(place.data_dir().join("cluster/data/base").exists());
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let place = Place::new();
    let mut config = place.config();
    config.settings.push(("work_mem".to_owned(), "banana".to_owned()));
    let error = EmbeddedServer::start(config).await.unwrap_err().to_string();
    assert!(error.contains("server.log ends with"), "{error}");
    assert!(
        error.contains(r#"invalid value for parameter "work_mem": "banana""#),
        "{error}"
    );
    place.start().await.release().await.unwrap();
}
