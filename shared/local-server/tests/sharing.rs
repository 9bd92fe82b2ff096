//! Processes that use one private Postgres together: it starts once, and ends with the last of them.

mod place;

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::time::Duration;

use local_server::{EmbeddedServer, ShutdownMode};
use place::{HELPER_DATA_DIR, Place, ask, config, is_running, wait_until};

/// A process that other tests run: uses the cluster until a line comes, and drops its use.
#[test]
#[ignore = "other tests run it as a process of its own"]
fn helper_process() {
    let Some(data_dir) = std::env::var_os(HELPER_DATA_DIR) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime
        .block_on(EmbeddedServer::start(config(Path::new(&data_dir))))
        .unwrap();
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(server);
}

#[tokio::test]
async fn two_that_start_at_once_share_one_server_and_the_last_one_stops_it() {
    let place = Place::new();
    let (one, two) = tokio::join!(
        EmbeddedServer::start(place.config()),
        EmbeddedServer::start(place.config())
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    let pid = place.pid().unwrap();
    assert_eq!(one.credentials().port, two.credentials().port);
    assert_eq!(one.credentials().password, two.credentials().password);

    one.release().await.unwrap();
    assert_eq!(ask(&two, "select 1"), "1");
    assert_eq!(place.pid(), Some(pid));

    two.release().await.unwrap();
    assert_eq!(place.pid(), None);
    wait_until("the server is gone", || !is_running(pid));
}

#[tokio::test]
async fn two_processes_that_start_at_once_share_one_server() {
    let place = Place::new();
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| place.helper());
        let two = scope.spawn(|| place.helper());
        (one.join().unwrap(), two.join().unwrap())
    });
    let pid = place.pid().unwrap();
    let server = place.start().await;
    for mut helper in [one, two] {
        helper.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(helper.child.wait().unwrap().success());
    }
    assert_eq!(place.pid(), Some(pid));
    server.release().await.unwrap();
    assert_eq!(place.pid(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_who_starts_gets_a_server_that_another_is_stopping() {
    let place = Place::new();
    let mut users = tokio::task::JoinSet::new();
    for user in 0..3 {
        let config = place.config();
        users.spawn(async move {
            for round in 0..6 {
                let server = EmbeddedServer::start(config.clone()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(7 * user * round)).await;
                let server = tokio::task::spawn_blocking(move || {
                    assert_eq!(ask(&server, "select pg_sleep(0.02)::text || 'here'"), "here");
                    server
                });
                server.await.unwrap().release().await.unwrap();
            }
        });
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
    assert_eq!(place.pid(), None);
}

#[tokio::test]
async fn a_server_whose_users_were_all_killed_is_joined() {
    let place = Place::new();
    let mut helper = place.helper();
    let pid = place.pid().unwrap();
    helper.child.kill().unwrap();
    helper.child.wait().unwrap();
    assert!(is_running(pid));

    let server = place.start().await;
    assert_eq!(place.pid(), Some(pid));
    assert_eq!(ask(&server, "select 1"), "1");
    server.release().await.unwrap();
    wait_until("the last user stopped it", || !is_running(pid));
}

#[tokio::test]
async fn the_server_holds_neither_our_output_nor_our_locks_nor_our_terminal() {
    let place = Place::new();
    let mut helper = place.helper();
    let pid = place.pid().unwrap();
    helper.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    helper.child.wait().unwrap();
    // Whoever reads our output sees its end, though the server goes on.
    let mut output = helper.output.take().unwrap();
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while output.read_line(&mut String::new()).unwrap() > 0 {}
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(10)).expect("the pipe is closed");
    assert!(is_running(pid));

    if cfg!(target_os = "linux") {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let target = fs::read_link(entry.unwrap().path()).unwrap();
            assert!(
                target.extension().is_none_or(|extension| extension != "lock"),
                "{}",
                target.display()
            );
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let (group, session, terminal) = (fields[2], fields[3], fields[4]);
        assert_eq!((group, session, terminal), (&*pid.to_string(), &*pid.to_string(), "0"));
    }
    place.start().await.release().await.unwrap();
    wait_until("the server is gone", || !is_running(pid));
}

#[tokio::test]
async fn a_restart_keeps_the_port_and_the_data() {
    let place = Place::new();
    let server = place.start().await;
    ask(&server, "create table kept as select 42 as answer");
    for mode in [ShutdownMode::Fast, ShutdownMode::Immediate] {
        let pid = place.pid();
        server.restart(mode).await.unwrap();
        assert_ne!(place.pid(), pid);
        assert_eq!(ask(&server, "select answer from kept"), "42");
    }
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_stopped_by_hand_can_be_released() {
    let place = Place::new();
    let server = place.start().await;
    place.kill_server();
    server.release().await.unwrap();
}
