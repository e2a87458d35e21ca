//! Reads `[cluster]`: the workers that steps run on.

use url::Url;

use super::document::ConfigValue;
use super::keys;
use super::section::Section;
use crate::error::Result;

/// `[cluster]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The URLs of the workers; none if every step runs in this process.
    pub workers: Vec<Url>,
}

pub(super) fn read(root: &Section<'_>) -> Result<ClusterConfig> {
    let Some(section) = root.section("cluster", &keys::CLUSTER.names())? else {
        return Ok(ClusterConfig::default());
    };
    let key = "workers";
    let texts = match section.get(key).map(|node| &node.value) {
        // An environment variable has no lists.
        Some(ConfigValue::Override(text)) => {
            let parts = text.split(',').map(str::trim);
            parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        }
        _ => {
            let strings = section.strings(key)?.unwrap_or_default();
            strings
                .into_iter()
                .map(|(text, _)| text)
                .collect::<Vec<_>>()
        }
    };
    let workers = texts.iter().map(|text| {
        let url = worker_url(text);
        url.map_err(|complaint| section.error(key, &format!("has `{text}`: {complaint}")))
    });
    Ok(ClusterConfig {
        workers: workers.collect::<Result<_>>()?,
    })
}

/// Parse the address of a worker: `HOST:PORT`, or `http://HOST:PORT`.
///
/// # Errors
/// A text that says what to write.
pub fn worker_url(text: &str) -> Result<Url, String> {
    let wrong = || "write HOST:PORT or http://HOST:PORT".to_owned();
    let text = text.trim();
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    let url = url.map_err(|_| wrong())?;
    let is_plain = url.scheme() == "http"
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
        && url.port().is_some();
    match is_plain && url.has_host() {
        true => Ok(url),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_worker_has_a_host_and_a_port() {
        for text in [
            "worker-0:50051",
            "http://10.0.0.7:50051",
            " http://[::1]:8/ ",
        ] {
            assert!(worker_url(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "worker",
            ":50051",
            "https://a:1",
            "http://a",
            "a:1/path",
            "u@a:1",
            "a:b",
        ] {
            assert!(worker_url(text).is_err(), "{text}");
        }
    }
}
