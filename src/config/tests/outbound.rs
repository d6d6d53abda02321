//! The rules for whatever is called.

use std::path::PathBuf;
use std::time::Duration;

use super::{Place, assert_refused, loaded, shown};
use crate::outbound::{Options, Secret};

#[test]
fn every_rule_takes_a_value_of_its_own() {
    let text = "
outbound:
  threads: 3
  connect_timeout: 4s
  ca: ours.pem
  proxy: 'http://user:hunter2@proxy:3128'
  allow_link_local: true
";
    let expected = Options {
        threads: 3,
        connect_timeout: Duration::from_secs(4),
        ca: Some(PathBuf::from("ours.pem")),
        proxy: Some(Secret::Given("http://user:hunter2@proxy:3128".into())),
        allow_link_local: true,
    };
    let config = loaded(text);
    assert_eq!(config.server.outbound, expected);
    assert_eq!(
        shown(&config, "outbound.proxy"),
        [
            "outbound.proxy=http://***@proxy:3128",
            "outbound.proxy_file="
        ]
    );
}

#[test]
fn a_proxy_may_lie_in_a_file_or_in_a_variable() {
    let config = loaded("outbound: { proxy_file: /run/secrets/proxy }\n");
    let file = PathBuf::from("/run/secrets/proxy");
    assert_eq!(config.server.outbound.proxy, Some(Secret::File(file)));
    let place = Place::new().with_variable("STANDPIPE_OUTBOUND__PROXY", "http://proxy:1");
    let proxy = place.load().unwrap().server.outbound.proxy;
    assert_eq!(proxy, Some(Secret::Given("http://proxy:1".into())));
}

#[test]
fn what_is_wrong_with_a_rule_is_said_with_its_line() {
    assert_refused(&[
        (
            "outbound: { threads: 0 }\n",
            "file.yml:1: outbound.threads: \"0\" is out of range: from 1 to 64",
        ),
        (
            "outbound: { connect_timeout: 0s }\n",
            "file.yml:1: outbound.connect_timeout: \"0s\" is out of range: from 1ms to 86400 s",
        ),
        (
            "outbound: { allow_link_local: maybe }\n",
            "file.yml:1: outbound.allow_link_local: \"maybe\" is not known; it can be true, false",
        ),
        (
            "outbound:\n  proxy: socks5://user:hunter2@proxy\n",
            "file.yml:2: outbound.proxy: \"socks5://***@proxy\" is not an address: it begins with neither http:// nor https://",
        ),
        (
            "outbound:\n  proxy: user:hunter2@proxy\n",
            "file.yml:2: outbound.proxy: \"***\" is not an address: it begins with neither http:// nor https://",
        ),
        (
            "outbound:\n  proxy: http://a\n  proxy_file: b\n",
            "file.yml:3: outbound.proxy_file: \"b\" is set as well as outbound.proxy; keep one of the two",
        ),
        (
            "outbound: { proxi: a }\n",
            "file.yml:1: outbound.proxi is not a setting; did you mean outbound.proxy? (`standpipe check` prints all of them)",
        ),
    ]);
}
