//! `bitlake demo`: collects, transforms and publishes the demo workspace, and writes its report, without an account or
//! network.

use std::path::Path;

use bitlake_sandbox::Sandbox;

use super::args::DemoArgs;
use super::context::{CliContext, CommandOutcome};
use super::job::{CollectSettings, Job};
use super::output::print;
use super::run::print_overview;
use super::{report, sandbox};
use crate::config::Config;
use crate::error::{ErrorKind, OrError, Result};
use crate::report::ReportOptions;
use crate::transform::TransformOptions;

const CONFIG: &str = include_str!("bitlake.toml");
/// The keys of `[org]`, with the files that they name.
const ORG: [(&str, &str, &str); 3] = [
    ("users", "users.csv", include_str!("users.csv")),
    ("teams", "teams.csv", include_str!("teams.csv")),
    (
        "user_account_mapping",
        "accounts.csv",
        include_str!("accounts.csv"),
    ),
];
/// The time of the last record of the fixtures, which is the time of the metrics.
const AS_OF: &str = "2026-11-20T17:00:00Z";

/// Return a configuration of the demo workspace.
pub(super) fn config_for(endpoint: &str, lake: &str) -> String {
    CONFIG
        .replace("ENDPOINT", endpoint)
        .replace("\"LAKE\"", &format!("{lake:?}"))
}

/// Write the files of people and teams into `folder`, and return the section that names them.
fn write_org(folder: &Path) -> Result<String> {
    let mut section = "\n[org]\n".to_owned();
    for (key, file, content) in ORG {
        std::fs::write(folder.join(file), content)
            .or_error(ErrorKind::Lake, "cannot write a file of the demo's teams")?;
        section.push_str(&format!("{key} = {file:?}\n"));
    }
    Ok(section)
}

pub(super) async fn run(context: &CliContext, args: DemoArgs) -> Result<CommandOutcome> {
    let builder = Sandbox::builder().demo().rate_limit_header(1_000_000);
    let sandbox = sandbox::start(builder, 0).await?;
    let out = std::path::absolute(&args.out).or_error(ErrorKind::Usage, "--out is not a folder")?;
    let org = tempfile::tempdir().or_error(ErrorKind::Lake, "cannot create a temporary folder")?;
    let text =
        config_for(&sandbox.endpoint(), &out.display().to_string()) + &write_org(org.path())?;
    let env = std::collections::BTreeMap::new();
    let config = Config::parse(&text, &org.path().join("bitlake.toml"), &env, &[])?;
    let options = TransformOptions {
        as_of: AS_OF.parse().ok(),
        ..TransformOptions::default()
    };
    let mut job = Job::start(context, &config, "demo").await?;
    let lake = job.lake.clone();
    let result = job.run(&CollectSettings::default(), &options).await;
    let outcome = job.finish(result).await?;
    sandbox.stop().await;

    print("\n")?;
    print_overview(context, &lake, None).await?;
    let page = args.out.join("report.html");
    report::write_page(&lake, None, &ReportOptions::default(), &page).await?;
    let lake = args.out.display();
    print(&format!(
        "\nTry next:\n  \
         bitlake --lake {lake} tables\n  \
         bitlake --lake {lake} query --list\n  \
         bitlake --lake {lake} query dora/classes\n  \
         bitlake --lake {lake} query dora_by_team/overall\n  \
         bitlake --lake {lake} query --sql \"SELECT name, url FROM domain.repos\"\n  \
         bitlake init\n\n\
         The same figures and more as a page, for any browser: {}\n",
        page.display()
    ))?;
    Ok(outcome)
}
