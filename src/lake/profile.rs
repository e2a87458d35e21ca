//! Read the static keys and the region of a profile in AWS's shared files, as AWS's own tools do.
//!
//! ```text
//! AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials    [name]            aws_access_key_id, aws_secret_access_key, …
//! AWS_CONFIG_FILE or ~/.aws/config                     [profile name]    the same, and region
//! ```
//!
//! A profile whose keys come from elsewhere (SSO, a role, a program) is refused with a hint.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

const DEFAULT: &str = "default";
/// Settings of profiles without static keys, and the source of their keys.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("sso_session", "SSO"),
    ("sso_start_url", "SSO"),
    ("role_arn", "a role"),
    ("source_profile", "another profile"),
    ("credential_process", "a program"),
    ("credential_source", "a role"),
];

/// A profile.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) keys: Option<StaticKeys>,
    pub(super) region: Option<String>,
}

/// Static keys.
#[derive(Debug)]
pub(super) struct StaticKeys {
    pub(super) id: Secret,
    pub(super) secret: Secret,
    pub(super) session_token: Option<Secret>,
}

/// Read the profile that `AWS_PROFILE` names, else `default`. `env` looks up a variable.
///
/// # Errors
/// [`ErrorKind::Configuration`] when `AWS_PROFILE` names a profile that does not exist or has no keys. A missing `default`
/// profile is not an error.
pub(super) fn read(env: impl Fn(&str) -> Option<String>) -> Result<Profile> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    let named = env("AWS_PROFILE").or_else(|| env("AWS_DEFAULT_PROFILE"));
    let home = env("HOME").or_else(|| env("USERPROFILE"));
    let file = |variable: &str, name: &str| {
        let beside_home = || Some(PathBuf::from(home.as_ref()?).join(".aws").join(name));
        env(variable).map(PathBuf::from).or_else(beside_home)
    };
    let files = [
        file("AWS_CONFIG_FILE", "config"),
        file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ];
    let name = named.as_deref().unwrap_or(DEFAULT);
    let mut settings: Option<BTreeMap<String, String>> = None;
    // The credentials file is last: its keys take precedence.
    for text in files.iter().flatten().filter_map(read_if_present) {
        if let Some(found) = section(&text, name) {
            settings.get_or_insert_default().extend(found);
        }
    }
    match (settings, named.is_some()) {
        (Some(settings), must_have_keys) => parse_profile(name, settings, must_have_keys),
        (None, false) => Ok(Profile::default()),
        (None, true) => {
            let shown = files.iter().flatten().map(|it| it.display().to_string());
            Err(
                Error::new(ErrorKind::Configuration, "there is no such AWS profile")
                    .with("AWS_PROFILE", name)
                    .with("files", shown.collect::<Vec<_>>().join(", "))
                    .hint("correct AWS_PROFILE; `aws configure list-profiles` lists them"),
            )
        }
    }
}

fn read_if_present(path: &PathBuf) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::debug!(file = %path.display(), "cannot read: {error}");
            None
        }
    }
}

fn parse_profile(
    name: &str,
    mut settings: BTreeMap<String, String>,
    must_have_keys: bool,
) -> Result<Profile> {
    let region = settings.remove("region");
    let mut secret = |key: &str| settings.remove(key).map(Secret::new);
    let (id, key, token) = (
        secret("aws_access_key_id"),
        secret("aws_secret_access_key"),
        secret("aws_session_token"),
    );
    if let (Some(id), Some(secret)) = (id, key) {
        let keys = Some(StaticKeys {
            id,
            secret,
            session_token: token,
        });
        return Ok(Profile { keys, region });
    }
    if !must_have_keys {
        return Ok(Profile { keys: None, region });
    }
    let unsupported = UNSUPPORTED
        .iter()
        .find(|(key, _)| settings.contains_key(*key));
    let error = Error::new(
        ErrorKind::Configuration,
        "the AWS profile has no keys of its own",
    )
    .with("AWS_PROFILE", name);
    Err(match unsupported {
        Some((key, source)) => error
            .with("uses", format!("{source} ({key})"))
            .hint(format!(
                "bitlake reads static keys only: set what `aws configure export-credentials --profile {name} --format \
                 env` prints"
            )),
        None => error.hint("add aws_access_key_id and aws_secret_access_key to it"),
    })
}

/// Return the settings of a profile; `None` when the file does not have it.
fn section(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut inside = false;
    for line in text.lines() {
        // Indented lines belong to a nested setting.
        if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
            continue;
        }
        if let Some(head) = line.trim().strip_prefix('[') {
            let head = head.split(']').next().unwrap_or_default().trim();
            let profile = head.strip_prefix("profile ").unwrap_or(head);
            inside = profile.trim().trim_matches('"') == name;
            if inside {
                found.get_or_insert_default();
            }
            continue;
        }
        if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            let value = [" #", " ;", "\t#", "\t;"]
                .iter()
                .fold(value, |value, comment| {
                    value.split_once(comment).map_or(value, |(value, _)| value)
                });
            let (key, value) = (key.trim().to_lowercase(), value.trim().to_owned());
            found.get_or_insert_default().insert(key, value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = D\naws_secret_access_key = d\n\n\
        [night]\naws_access_key_id=AKIA # of the export\naws_secret_access_key = s3cr3t=\naws_session_token= t0k3n\n";
    const CONFIG: &str = "[default]\nregion = us-west-2\n[profile night]\ns3 =\n  max_concurrent_requests = 3\nregion = eu-central-1\n\
        [profile sso]\nsso_session = corp\nregion = eu-west-1\n[profile role]\nrole_arn = arn:x\nsource_profile = default\n\
        [profile empty]\n";

    fn read_with(variables: &[(&str, &str)]) -> Result<Profile> {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".aws");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("credentials"), CREDENTIALS).unwrap();
        std::fs::write(folder.join("config"), CONFIG).unwrap();
        read(|name| match name {
            "HOME" => Some(home.path().display().to_string()),
            name => {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            }
        })
    }

    fn keys(profile: &Profile) -> Option<(&str, &str, Option<&str>)> {
        let keys = profile.keys.as_ref()?;
        let token = keys.session_token.as_ref().map(Secret::expose);
        Some((keys.id.expose(), keys.secret.expose(), token))
    }

    #[test]
    fn a_named_profile_has_keys_token_and_region_and_prints_no_secret() {
        let night = read_with(&[("AWS_PROFILE", "night")]).unwrap();
        assert_eq!(keys(&night), Some(("AKIA", "s3cr3t=", Some("t0k3n"))));
        assert_eq!(night.region.as_deref(), Some("eu-central-1"));
        let shown = format!("{night:?}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("t0k3n") && !shown.contains("AKIA"));
    }

    #[test]
    fn without_a_name_the_default_profile_is_read_if_it_has_keys() {
        let default = read_with(&[]).unwrap();
        assert_eq!(keys(&default), Some(("D", "d", None)));
        assert_eq!(default.region.as_deref(), Some("us-west-2"));
        let nowhere = [
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
            ("AWS_CONFIG_FILE", "/nowhere"),
        ];
        assert!(read_with(&nowhere).unwrap().keys.is_none());
    }

    #[test]
    fn a_profile_without_keys_is_refused_with_a_hint() {
        let error_of = |name: &str| {
            let error = read_with(&[("AWS_PROFILE", name)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            error.to_string()
        };
        let sso = error_of("sso");
        assert!(
            sso.contains("uses=SSO (sso_session)") && sso.contains("--profile sso --format env"),
            "{sso}"
        );
        assert!(error_of("role").contains("uses=a role (role_arn)"));
        assert!(
            error_of("empty").ends_with("add aws_access_key_id and aws_secret_access_key to it")
        );
        let missing = error_of("other");
        assert!(
            missing.starts_with("there is no such AWS profile (AWS_PROFILE=other"),
            "{missing}"
        );
    }
}
