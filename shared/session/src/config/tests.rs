use super::*;

fn environment(dir: &Path) -> Environment {
    Environment {
        working_directory: dir.to_owned(),
        ..Environment::default()
    }
}

fn staging(dir: &Path, name: &str, files: &[(&str, &str)]) {
    let dir = dir.join("credentials").join(name);
    fs::create_dir_all(&dir).unwrap();
    for (file, content) in files {
        fs::write(dir.join(format!(".postgres.{file}")), content).unwrap();
    }
}

#[test]
fn nothing_configured_means_the_documented_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = environment(dir.path()).credentials().unwrap().remove(0);
    assert_eq!(format!("{credentials:?}"), "admin@localhost:5432/postgres");
    assert_eq!(credentials.password, "psw");
}

#[test]
fn trailing_newlines_are_trimmed_and_missing_files_have_defaults() {
    let dir = tempfile::tempdir().unwrap();
    staging(
        dir.path(),
        "dev",
        &[("db", "orders\n"), ("psw", " s p \r\n"), ("port", "6000\n")],
    );
    let credentials = environment(dir.path()).credentials().unwrap().remove(0);
    assert_eq!(format!("{credentials:?}"), "admin@localhost:6000/orders");
    assert_eq!(credentials.password, " s p ");
}

#[test]
fn the_variable_wins_over_the_file_and_the_file_over_the_default() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["dev", "file", "variable"] {
        staging(dir.path(), name, &[("db", name)]);
    }
    let mut env = environment(dir.path());
    assert_eq!(env.credentials().unwrap().remove(0).database, "dev");
    fs::write(dir.path().join(".staging"), "file\n").unwrap();
    assert_eq!(env.credentials().unwrap().remove(0).database, "file");
    env.staging = Some("variable".to_owned());
    assert_eq!(env.credentials().unwrap().remove(0).database, "variable");
}

#[test]
fn a_named_staging_without_directory_is_an_error_that_names_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = environment(dir.path());
    env.staging = Some("prodd".to_owned());
    let message = env.credentials().unwrap_err().to_string();
    assert!(
        message.contains("'prodd'") && message.contains("PG_IMPORT_STAGING"),
        "{message}"
    );
    env.staging = None;
    fs::write(dir.path().join(".staging"), "prodd\n").unwrap();
    let message = env.credentials().unwrap_err().to_string();
    assert!(message.contains("'prodd'") && message.contains(".staging"), "{message}");
}

#[test]
fn a_staging_cannot_reach_out_of_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = environment(dir.path());
    env.staging = Some("../dev".to_owned());
    assert!(matches!(env.credentials(), Err(ConfigError::StagingName { .. })));
}

#[test]
fn a_port_that_is_none_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    staging(dir.path(), "dev", &[("port", "54x2")]);
    let message = environment(dir.path()).credentials().unwrap_err().to_string();
    assert!(message.contains(".postgres.port"), "{message}");
}

#[test]
fn a_bad_url_is_not_repeated_in_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = environment(dir.path())
        .hosts(Some("postgres://u:secret@h:port/db"))
        .unwrap_err();
    assert!(!format!("{error:?} {error}").contains("secret"));
}

#[test]
fn a_url_names_several_hosts_as_for_psql() {
    let dir = tempfile::tempdir().unwrap();
    let mut env = environment(dir.path());
    env.postgres.host = Some("v,w".into());
    let described = |env: &Environment, url: &str| match env.hosts(Some(url)) {
        Ok(hosts) => format!("{hosts:?} {:?}", hosts.wanted()),
        Err(error) => error.to_string(),
    };
    for (url, expected) in [
        ("postgresql://u@a:1,b:2/d", "'d' at a:1, b:2 as user 'u' Any"),
        ("postgres://u@a,b:2/d", "'d' at a:5432, b:2 as user 'u' Any"),
        (
            "postgres://u@[::1]:1,%2Frun%2Fpg,h:3/d?target_session_attrs=read-write",
            "'d' at ::1:1, /run/pg:5432, h:3 as user 'u' ReadWrite",
        ),
        (
            "postgres:///d?user=u&host=a,b&port=7&target_session_attrs=primary",
            "'d' at a:7, b:7 as user 'u' Primary",
        ),
        // What it leaves out is the variables'.
        ("postgres://u@/d", "'d' at v:5432, w:5432 as user 'u' Any"),
        ("postgres://u@:6/d", "'d' at v:6, w:6 as user 'u' Any"),
        ("postgres://u@one/d", "'d' at one:5432 as user 'u' Any"),
    ] {
        assert_eq!(described(&env, url), expected, "{url}");
    }
    for (url, says) in [
        ("postgres://u@a,,b/d", "have one without a name"),
        ("postgres://u@a,b/d?port=1,2,3", "are 2, their ports 3"),
        ("postgres://u@a,b:x/d", "has no port that can be understood"),
        (
            "postgres://u@a,b/d?target_session_attrs=standby",
            "expected any, primary or read-write",
        ),
    ] {
        assert!(described(&env, url).contains(says), "{url}: {}", described(&env, url));
    }
    env.postgres.target_session_attrs = Some("primary".into());
    assert!(described(&env, "postgres://u@a,b/d").ends_with("Primary"));
    env.postgres.port = Some("1,2,3".into());
    assert!(described(&env, "postgres://u@a,b/d").contains("are 2, their ports 3"));
}

#[test]
fn written_credentials_read_back_and_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let written = Credentials {
        database: "d".into(),
        password: "p".into(),
        user: "u".into(),
        host: "127.0.0.1".into(),
        port: 1234,
    };
    written.write(dir.path()).unwrap();
    assert_eq!(Credentials::read(dir.path()).unwrap(), written);
    let mode = fs::metadata(dir.path().join(".postgres.psw"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_a_staging_leaves_out_comes_from_the_variables_value_by_value() {
    let dir = tempfile::tempdir().unwrap();
    staging(dir.path(), "dev", &[("host", "db.example.org")]);
    let mut env = environment(dir.path());
    env.postgres = PgVariables {
        host: Some("elsewhere".into()),
        port: Some("6000".into()),
        user: Some("loader".into()),
        database: Some("orders".into()),
        password: Some("p".into()),
        ..PgVariables::default()
    };
    let credentials = env.credentials().unwrap().remove(0);
    assert_eq!(format!("{credentials:?}"), "loader@db.example.org:6000/orders");
    assert_eq!(credentials.password, "p");
    assert!(!format!("{env:?}").contains("\"p\""));
    env.postgres.port = Some("54x2".into());
    let message = env.credentials().unwrap_err().to_string();
    assert!(message.contains("PGPORT"), "{message}");
}
