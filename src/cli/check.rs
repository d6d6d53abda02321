//! `standpipe check`: prints the configuration that holds, as a file that could be given back, and what is in the data
//! directory, as comments behind it. It must not change anything, on the disk or elsewhere.

use std::fmt::{self, Write as _};
use std::io;

use clap::Args;
use standpipe_store::Progress;

use super::{Exit, Failure, directory, print, progress, tell};
use crate::config::{Config, yaml_name};
use crate::tls::Tls;

/// What `check` is told.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Leave the data alone: for the configuration of a server that is running
    #[arg(long)]
    config_only: bool,
}

/// Prints the effective configuration, then reads every byte of the data.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    for warning in &config.warnings {
        tell(format_args!("{warning}"));
    }
    print(format_args!("{}", effective(config)))?;
    // What would refuse a start is found here as well.
    if let Some(options) = &config.server.tls {
        Tls::load(options).map_err(|error| Failure::new(Exit::CONFIG, error))?;
    }
    if arguments.config_only {
        return Ok(());
    }
    let path = &config.server.storage.path;
    let absent = path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if absent || (directory::existing(path).is_ok() && !directory::holds_store(path)) {
        return print(format_args!(
            "\n# {}: no data yet; the first start makes it\n",
            path.display()
        ));
    }
    let dir = directory::existing(path)?;
    let reading = Progress::new();
    let report = progress::of_store("checking", &reading, || {
        standpipe_store::check(dir, &reading)
    })?;
    let mut text = format!("\n# {}:\n", path.display());
    for line in report.to_string().lines() {
        append(&mut text, format_args!("#   {line}"));
    }
    print(format_args!("{text}"))
}

/// The settings as YAML: one line each, its origin as the comment.
fn effective(config: &Config) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for (path, given) in config.effective() {
        let mut steps: Vec<&str> = path.names().collect();
        let name = steps.pop().unwrap_or_default();
        let shared = open
            .iter()
            .zip(&steps)
            .take_while(|(one, other)| one == other)
            .count();
        for (depth, section) in steps.iter().enumerate().skip(shared) {
            line(&mut text, depth, &format!("{}:", yaml_name(section)), None);
        }
        line(
            &mut text,
            steps.len(),
            &format!("{}: {}", yaml_name(name), given.yaml()),
            Some(&given.origin.to_string()),
        );
        open = steps;
    }
    text
}

fn line(text: &mut String, depth: usize, words: &str, origin: Option<&str>) {
    let words = format!("{:indent$}{words}", "", indent = depth * 2);
    match origin {
        Some(origin) => append(text, format_args!("{words:<44}  # {origin}")),
        None => append(text, format_args!("{words}")),
    }
}

fn append(text: &mut String, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}
