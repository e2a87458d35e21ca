//! The environment of git commands.

use super::*;

#[test]
fn a_missing_or_old_git_is_a_configuration_error_with_a_hint() {
    let settings = GitCommits {
        cache: "cache".into(),
        line_counts: true,
    };
    let error = Git::with_program("no-such-git".into(), &settings, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error
            .to_string()
            .ends_with("install git 2.32 or newer, or set commits = \"api\""),
        "{error}"
    );
    assert_eq!(
        parse_version("git version 2.47.3 (Apple Git-1)"),
        Some((2, 47))
    );
    assert_eq!(parse_version("git version 2.31.rc1"), Some((2, 31)));
    assert_eq!(parse_version("hg 6.1"), None);
    assert!(parse_version("git version 2.31.0") < Some(MIN_VERSION));
}

/// Return the environment variables that a command sets.
fn variables(command: &Command) -> BTreeMap<String, String> {
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    let set = command.get_envs();
    set.filter_map(|(name, value)| Some((text(name), text(value?))))
        .collect()
}

#[tokio::test]
async fn secrets_are_passed_in_the_environment_for_one_host() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let tokens = vec![Token {
        secret: Secret::new("s3cr3t".into()),
        origin: "environment variable TOKEN".into(),
    }];
    let client = client(Credentials::AccessToken { tokens });
    let remote = GitRemote {
        url: "https://bitbucket.org/acme/web.git".parse().unwrap(),
        user: Some("x-token-auth".into()),
        proxy: Some("socks5://proxy:1080".into()),
    };
    let clone = bench
        .git
        .open_clone(1, "{web}", remote, &client)
        .await
        .unwrap();
    let command = clone.online_command(&["fetch", "origin"]).await.unwrap();
    let encoded = "eC10b2tlbi1hdXRoOnMzY3IzdA==";
    let echo = format!("{encoded} s3cr3t s3cr%33t");
    assert_eq!(client.masker().mask(&echo), "*** *** ***");
    let arguments: Vec<_> = command.get_args().map(|it| it.to_str().unwrap()).collect();
    let shown = arguments.join(" ");
    assert!(
        !shown.contains("s3cr3t") && !shown.contains(encoded),
        "{shown}"
    );
    let variables = variables(&command);
    let value = |key: &str| {
        let (name, _) = variables.iter().find(|(_, value)| *value == key).unwrap();
        variables[&name.replace("KEY", "VALUE")].as_str()
    };
    assert_eq!(
        value("http.https://bitbucket.org/.extraHeader"),
        format!("Authorization: Basic {encoded}")
    );
    assert_eq!(
        value("remote.origin.url"),
        "https://bitbucket.org/acme/web.git"
    );
    assert_eq!(value("http.proxy"), "socks5://proxy:1080");
    assert_eq!(value("credential.helper"), "");
    assert_eq!(value("http.followRedirects"), "false");
    for (name, expected) in [
        ("GIT_ALLOW_PROTOCOL", "https"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ] {
        assert_eq!(variables[name], expected);
    }
    let local = bench.git.command(Some(&clone.folder), &[]);
    let local = format!("{:?}", self::variables(&local));
    assert!(
        !local.contains("Authorization") && !local.contains("remote.origin"),
        "{local}"
    );
}

#[tokio::test]
async fn git_inherits_no_settings_hooks_or_traces() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let output = |arguments: &[&str]| {
        let mut command = bench.git.command(None, &[]);
        let command = command.args(arguments).current_dir(bench.folder.path());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let listed = output(&["config", "--list", "--show-scope"]);
    assert_eq!(listed.lines().count(), SETTINGS.len() + 1);
    assert!(
        listed.lines().all(|line| line.starts_with("command\t")),
        "{listed}"
    );
    // A variable that Cargo sets for this process.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let inherited = output(&["-c", "alias.surroundings=!env", "surroundings"]);
    assert!(inherited.contains("GIT_CONFIG_NOSYSTEM=1"), "{inherited}");
    assert!(!inherited.contains("CARGO_MANIFEST_DIR"), "{inherited}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_a_configuration_error() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join("cache"), "a file").unwrap();
    let remote = GitRemote {
        url: Url::from_file_path(bench.work()).unwrap(),
        user: None,
        proxy: None,
    };
    let clone = bench
        .git
        .open_clone(1, "{web}", remote, &bench.client)
        .await;
    let error = clone.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("git_cache"), "{error}");
}
