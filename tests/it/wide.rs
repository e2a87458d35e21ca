//! A lake whose source layer is wide: pull requests with long descriptions that do not compress well.

use std::sync::Arc;

use bitlake::lake::{Lake, Replaces, RepositoryState, SegmentWriter};
use bitlake::redaction::{ReceivedRecord, Redactor};
use bitlake::schema::{Contracts, Decoder, Parent, RecordEnvelope, SourceRecord};
use bitlake::secret::Masker;
use chrono::{DateTime, Utc};
use serde_json::json;

pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse().unwrap()
}

/// Write segments of `pull_requests` pull requests, spread over `repositories` repositories, with descriptions of `length`
/// bytes.
pub(crate) async fn generate(
    lake: &Lake,
    repositories: usize,
    pull_requests: usize,
    length: usize,
) {
    let contract = Contracts::bundled()
        .unwrap()
        .require("bitbucket", "pull_requests")
        .unwrap();
    let mut random = Random(1);
    for n in 0..repositories {
        let uuid = format!("{{repo-{n}}}");
        let full_name = format!("acme/repo-{n}");
        let envelope = RecordEnvelope {
            connection_id: 1,
            workspace: "acme".to_owned(),
            repository: full_name.clone(),
            uuid: uuid.clone(),
        };
        let mut decoder = Decoder::new(Arc::clone(contract), envelope);
        let mut segment = SegmentWriter::create(lake, contract, 1, &uuid, "bench", 0).unwrap();
        let count = pull_requests / repositories;
        for from in (1..=count).step_by(100) {
            let ids = from..(from + 100).min(count + 1);
            let records = ids.map(|id| record(id, random.text(length)));
            let batch = decoder.decode(records).unwrap();
            segment.write(&batch).unwrap();
        }
        let segment = segment.finish(Replaces::Everything).await.unwrap();
        let state = json!({
            "format_version": 1, "connection_id": 1, "uuid": uuid, "full_name": full_name, "bitbucket_project": null,
            "since": now(), "since_setting": "6 months",
            "entities": {"pull_requests": {
                "status": "complete", "complete_from": null, "complete_through": now(), "segments": [segment]}},
        });
        let state: RepositoryState = serde_json::from_value(state).unwrap();
        lake.put_state(&state, None).await.unwrap();
    }
}

fn record(id: usize, description: String) -> SourceRecord {
    let month = 1 + id % 12;
    let payload = json!({
        "type": "pullrequest", "id": id, "title": format!("Change {id}"), "description": description,
        "state": "OPEN", "created_on": format!("2026-{month:02}-01T10:00:00+00:00"),
        "updated_on": format!("2026-{month:02}-02T10:00:00+00:00"),
    });
    let redactor = Redactor::new(Masker::default()).unwrap();
    let payload = payload.to_string();
    SourceRecord {
        key: id.to_string(),
        parent: Parent::None,
        payload: ReceivedRecord::read(&payload).redact(&redactor).0,
    }
}

/// Text that does not compress well, the same in every run.
struct Random(u64);

impl Random {
    fn text(&mut self, length: usize) -> String {
        // Short words: among megabytes of random digits and capitals some look like a secret, and are removed.
        let letters = b"abcdefghijklmnopqrstuvwxyz   .";
        let letter = |_| {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            char::from(letters[(self.0 % letters.len() as u64) as usize])
        };
        (0..length).map(letter).collect()
    }
}
