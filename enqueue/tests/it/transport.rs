//! How a database is reached: encrypted, and from a server that is the right one, as stagings and URLs ask for it; with the password that is
//! kept in a file for `psql`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use crate::support::{Call, World, orders, until_true};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use testkit::TestServer;

/// Somebody who signs certificates, and is known to nobody else.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
struct Signed {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// For a server of this name or address, or a client of this role.
    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        Signed {
            cert: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Has the server write a file that only it can read, into its own directory.
async fn write(world: &World, name: &str, text: &str) {
    world
        .execute(&format!(
            "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat >{name}'",
            text.trim_end()
        ))
        .await;
}

/// Has the server speak TLS, as `name`.
async fn encrypt(world: &World, authority: &Authority, name: &str) {
    let signed = authority.sign(name);
    write(world, "test.crt", &signed.cert).await;
    write(world, "test.key", &signed.key).await;
    write(world, "test-ca.crt", &authority.pem).await;
    for setting in [
        "ssl_cert_file = 'test.crt'",
        "ssl_key_file = 'test.key'",
        "ssl_ca_file = 'test-ca.crt'",
        "ssl = on",
    ] {
        world.execute(&format!("ALTER SYSTEM SET {setting}")).await;
    }
    world.execute("SELECT pg_reload_conf()").await;
    until_true("the server speaks TLS", async || {
        let outcome = world
            .enqueue(&["status"])
            .env("PGSSLMODE", "require")
            .start()
            .finished()
            .await;
        outcome.code == Some(0)
    })
    .await;
}

/// `enqueue status` with a staging of these files.
fn status(world: &World, name: &str, files: &[(&str, &str)]) -> Call {
    let staging = world.path(&format!("credentials/{name}"));
    world.db.credentials().write(&staging).unwrap();
    for (file, text) in files {
        let path = staging.join(format!(".postgres.{file}"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    world.bare(&["status"]).env("PG_IMPORT_STAGING", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_the_one_whose_certificate_the_staging_knows() {
    let server = TestServer::start().await;
    let world = World::on(&server).await.over_tcp();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let host = world.db.credentials().host.clone();
    encrypt(&world, &authority, &host).await;
    let full = ("sslmode", "verify-full");
    let known = ("sslrootcert", authority.pem.as_str());
    status(&world, "known", &[full, known]).run().exits(0);
    // Of several hosts, the one is asked for its name that is about to be used.
    let both = ("host", "localhost,127.0.0.1");
    status(&world, "several", &[full, known, both]).run().exits(0);
    status(&world, "nobody", &[full, known, ("host", "localhost,localhost")])
        .run()
        .exits(1)
        .says("certificate");
    for (name, files) in [
        ("public", vec![full]),
        ("stranger", vec![full, ("sslrootcert", stranger.pem.as_str())]),
    ] {
        status(&world, name, &files).run().exits(1).says("certificate");
    }
    // By the variables, and in a URL, where the certificate is a file of its own.
    let root = world.file("root.pem", &authority.pem);
    for (mode, certificate, code) in [
        ("verify-full", Some(&root), 0),
        ("verify-full", None, 1),
        ("require", None, 0),
    ] {
        let call = world.enqueue(&["status"]).env("PGSSLMODE", mode);
        let call = match certificate {
            Some(certificate) => call.env("PGSSLROOTCERT", certificate),
            None => call,
        };
        call.run().exits(code);
    }
    let url = format!("{}?sslmode=verify-full&sslrootcert={root}", world.db.url());
    world.bare(&["status"]).env("DATABASE_URL", &url).run().exits(0);
    // All sessions of a whole import, a worker's too.
    let path = world.file("a.csv", orders("A", 200));
    let id = world
        .bare(&["-i", &path, "--chunk-rows", "100"])
        .env("DATABASE_URL", &url)
        .run()
        .exits(0)
        .id();
    let worker = world.worker(&[]).env("DATABASE_URL", &url).start();
    until_true("it is loaded", async || world.state(id).await == "loaded").await;
    let sessions =
        "pg_stat_activity AS a JOIN pg_stat_ssl AS s USING (pid) WHERE a.application_name LIKE 'pg_import-worker%'";
    assert!(world.count(sessions).await > 3);
    assert_eq!(world.count(&format!("{sessions} AND NOT s.ssl")).await, 0);
    drop(worker);
    // The right signature under another name.
    encrypt(&world, &authority, "elsewhere.example.org").await;
    status(&world, "several", &[full, known, both])
        .run()
        .exits(1)
        .says("127.0.0.1:");
    status(&world, "other", &[full, known])
        .run()
        .exits(1)
        .says("certificate");
    status(&world, "other", &[("sslmode", "verify-ca"), known])
        .run()
        .exits(0);
    status(&world, "bad", &[("sslmode", "verify-some")])
        .run()
        .exits(1)
        .says(".postgres.sslmode cannot be used: expected disable, allow, prefer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_its_certificate() {
    let server = TestServer::start().await;
    let world = World::on(&server).await.over_tcp();
    let authority = Authority::new();
    encrypt(&world, &authority, &world.db.credentials().host).await;
    let user = world.db.credentials().user.clone();
    let rules = format!("hostssl all {user} 127.0.0.1/32 cert\nlocal all all trust\nhost all all 127.0.0.1/32 trust");
    let known = [("sslmode", "verify-full"), ("sslrootcert", authority.pem.as_str())];
    let (own, others) = (authority.sign(&user), Authority::new().sign(&user));
    write(&world, "test-hba.conf", &rules).await;
    let data = world
        .ask("SELECT current_setting('data_directory')")
        .await
        .expect("its directory");
    world
        .execute(&format!("ALTER SYSTEM SET hba_file = '{data}/test-hba.conf'"))
        .await;
    server.restart(local_server::ShutdownMode::Fast).await;
    let with = |signed: &Signed| {
        [
            known.as_slice(),
            &[
                ("sslcert", &*signed.cert.clone().leak()),
                ("sslkey", &*signed.key.clone().leak()),
            ],
        ]
        .concat()
    };
    status(&world, "own", &with(&own)).run().exits(0);
    status(&world, "none", &known).run().exits(1);
    status(&world, "others", &with(&others)).run().exits(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_be_where_psql_looks_for_it() {
    let world = World::new().await.over_tcp();
    let credentials = world.db.credentials().clone();
    let staging = world.path("credentials/dev");
    credentials.write(&staging).unwrap();
    fs::remove_file(staging.join(".postgres.psw")).unwrap();
    let line = |password: &str| {
        format!(
            "{}:*:{}:{}:{password}\n",
            credentials.host, credentials.database, credentials.user
        )
    };
    let passwords = |name: &str, text: &str| {
        let path = world.file(name, text);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    };
    let right = passwords("right", &line(&credentials.password));
    let wrong = passwords("wrong", &line("wrong"));
    world.bare(&["status"]).env("PGPASSFILE", &right).run().exits(0);
    world
        .bare(&["status"])
        .env("PGPASSFILE", &wrong)
        .run()
        .exits(1)
        .says("password authentication failed");
    // Whoever says one says more.
    world
        .bare(&["status"])
        .env("PGPASSFILE", &wrong)
        .env("PGPASSWORD", &credentials.password)
        .run()
        .exits(0);
    let url = world.db.url().replace(&format!(":{}@", credentials.password), "@");
    world
        .bare(&["status"])
        .env("DATABASE_URL", &url)
        .env("PGPASSFILE", &right)
        .run()
        .exits(0);
    // A file that everybody can read is used, and said.
    fs::write(staging.join(".postgres.psw"), &credentials.password).unwrap();
    fs::set_permissions(staging.join(".postgres.psw"), Permissions::from_mode(0o644)).unwrap();
    let outcome = world
        .bare(&["status"])
        .run()
        .exits(0)
        .says("every user of this machine can read this secret");
    assert!(!outcome.stderr.contains(&credentials.password), "{outcome:#?}");
    fs::set_permissions(staging.join(".postgres.psw"), Permissions::from_mode(0o600)).unwrap();
    let outcome = world.bare(&["status"]).run().exits(0);
    assert!(!outcome.stderr.contains("can read this secret"), "{outcome:#?}");
}
