//! Settings put before typed words: precedence, what a file may and may not say, and where an error is.

use super::super::args::Cli;
use super::*;
use clap::CommandFactory as _;

/// A world of its own: variables, this user's file and the machine's.
struct Fixture {
    folder: tempfile::TempDir,
    variables: Vec<(String, OsString)>,
}

impl Fixture {
    fn new(user: &str, system: &str) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("user.toml", user), ("system.toml", system)] {
            if !text.is_empty() {
                std::fs::write(folder.path().join(name), text).unwrap();
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(folder.path().join(name), private).unwrap();
            }
        }
        Fixture { folder, variables: Vec::new() }
    }

    fn variable(mut self, name: &str, value: &str) -> Fixture {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn words(&self, typed: &str) -> Result<String, Failure> {
        let typed = typed.replace("FOLDER", self.folder.path().to_str().unwrap());
        let typed: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
        let definition = Cli::command();
        let matches = definition.clone().try_get_matches_from(&typed).unwrap();
        let get = |name: &str| self.variables.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone());
        let world = World { variable: &get, user: Some(self.path("user.toml")), system: self.path("system.toml") };
        let configured = apply(&definition, &matches, &typed, &world)?;
        let words = configured.words.iter().map(|word| word.to_string_lossy().into_owned());
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    /// The error, without the folder.
    fn error(&self, typed: &str) -> String {
        let failure = self.words(typed).unwrap_err();
        assert_eq!(failure.class.code(), 1, "{failure:?}");
        failure.message.replace(self.folder.path().to_str().unwrap(), "")
    }
}

#[test]
fn typed_goes_before_variable_before_user_before_machine() {
    let both = |user, system| Fixture::new(user, system);
    let (user, system) = ("contimeout = 2", "contimeout = 3\nretry-for = '9m'");
    let one = |fixture: &Fixture, typed: &str| fixture.words(typed).unwrap();
    assert_eq!(one(&both("", system), "r send a"), "r send --contimeout=3 --retry-for=9m a");
    assert_eq!(one(&both(user, system), "r send a"), "r send --contimeout=2 --retry-for=9m a");
    let fixture = both(user, system).variable("RESILIENT_CONTIMEOUT", "1");
    assert_eq!(one(&fixture, "r send a"), "r send --contimeout=1 --retry-for=9m a");
    assert_eq!(one(&fixture, "r send --contimeout 7 a"), "r send --retry-for=9m --contimeout 7 a");
    assert_eq!(one(&fixture, "r send --no-config a"), "r send --contimeout=1 --no-config a");
    let fixture = both(user, system).variable("RESILIENT_CONTIMEOUT", "");
    assert_eq!(one(&fixture, "r send a"), "r send --contimeout=2 --retry-for=9m a");
}

#[test]
fn a_named_file_stands_for_the_users_and_has_to_be_there() {
    let fixture = Fixture::new("contimeout = 2", "stats = true");
    std::fs::write(fixture.path("own.toml"), "contimeout = 8").unwrap();
    let typed = format!("r --stats --config={} send a", fixture.path("own.toml").display());
    assert_eq!(fixture.words(&typed).unwrap(), typed.replace(" a", " --contimeout=8 a"));
    let other = fixture.path("own.toml").to_str().unwrap().to_owned();
    let fixture = fixture.variable("RESILIENT_CONFIG", &other);
    assert_eq!(fixture.words("r send a").unwrap(), "r --stats send --contimeout=8 a");
    assert!(fixture.error("r --config=/nonexistent send a").contains("/nonexistent: no such file or directory"));
}

#[test]
fn options_of_another_command_are_judged_and_not_used() {
    let fixture = Fixture::new("listen = 9000\nidentity = 'k'", "");
    assert_eq!(fixture.words("r send a").unwrap(), "r --identity=k send a");
    assert_eq!(fixture.words("r recv").unwrap(), "r --identity=k recv --listen=9000");
    assert_eq!(fixture.words("r send --offer a").unwrap(), "r --identity=k send --listen=9000 --offer a");
    assert_eq!(fixture.words("r recv host:1").unwrap(), "r --identity=k recv host:1");
    assert_eq!(fixture.words("r recv -").unwrap(), "r --identity=k recv -");
    assert_eq!(fixture.words("r key show").unwrap(), "r --identity=k key show");
    let fixture = fixture.variable("RESILIENT_TICKET", "x");
    assert_eq!(fixture.words("r recv d").unwrap(), "r --identity=k recv d");
    assert_eq!(fixture.words("r recv --keep d").unwrap(), "r --identity=k recv --listen=9000 --keep d");
    assert!(
        Fixture::new("listen = 'nowhere'", "").error("r send a").starts_with("/user.toml:1: invalid value 'nowhere'")
    );
}

#[test]
fn flags_and_counts_have_their_own_types() {
    let fixture = Fixture::new("verbose = 2\nstats = true\nquiet = false\nprogress = true", "");
    assert_eq!(fixture.words("r recv").unwrap(), "r --verbose --verbose --progress --stats recv");
    let fixture = Fixture::new("verbose = 2", "").variable("RESILIENT_QUIET", "yes").variable("RESILIENT_LOG", "l");
    assert_eq!(fixture.words("r recv -v").unwrap(), "r --quiet --log-file=l recv -v");
}

#[test]
fn an_error_has_file_and_line() {
    for (text, said) in [
        ("\nbwlmit = 3", "/user.toml:2: bwlmit: no such key"),
        ("stats = 'yes'", "/user.toml:1: stats: true or false is expected, not a string"),
        ("verbose = -1", "/user.toml:1: verbose: a number from 0 to 9 is expected, not that number"),
        ("contimeout = true", "/user.toml:1: contimeout: a string or a number is expected, not true or false"),
        ("contimeout = [1]", "/user.toml:1: contimeout: a string or a number is expected, not an array"),
        ("\n\nretry-for = 'soon'", "/user.toml:3: invalid value 'soon' for '--retry-for"),
        ("[peer.x]\n\ncolor = 'red'", "/user.toml:3: invalid value 'red' for '--color"),
        ("[send]\nstats = true", "/user.toml:1: send: no such key"),
        ("peer = 3", "/user.toml:1: peer is for tables"),
        ("[peer.a.peer.b]", "/user.toml:1: a peer inside of a peer"),
        ("stats = true\nstats = true", "/user.toml:2: duplicate key"),
        ("stats", "/user.toml:1: "),
        ("transport = 'quic'", "/user.toml:1: transport is not in this version"),
    ] {
        let error = Fixture::new(text, "").error("r send a");
        assert!(error.starts_with(said), "{text:?}: {error}");
    }
    let fixture = Fixture::new("", "").variable("RESILIENT_STATS", "perhaps");
    assert_eq!(fixture.error("r recv"), "RESILIENT_STATS: true or false is expected");
    let fixture = Fixture::new("", "").variable("RESILIENT_RETRY_FOR", "soon");
    assert!(fixture.error("r recv").starts_with("RESILIENT_RETRY_FOR: invalid value 'soon'"));
}

#[test]
fn what_to_do_cannot_be_set() {
    let mut definition = Cli::command();
    definition.build();
    let all = definition.get_subcommands().chain([&definition]).flat_map(Command::get_arguments);
    let what: Vec<&str> = all.filter_map(Arg::get_long).filter(|name| !HOW.contains(name)).collect();
    assert!(what.contains(&"ticket-file") && what.contains(&"json"));
    for name in what {
        let error = Fixture::new(&format!("{name} = 'x'"), "").error("r send a");
        assert!(
            error.starts_with(&format!("/user.toml:1: {name} ")) && !error.contains("not in this version"),
            "{error}"
        );
        if name == "config" {
            continue;
        }
        let fixture = Fixture::new("", "").variable(&variable(name), "x");
        assert_eq!(fixture.words("r send a").map_err(|failure| failure.message), Ok("r send a".into()), "{name}");
    }
}

#[test]
fn a_peer_has_settings_of_its_own_and_the_first_that_fits_counts() {
    let text = "contimeout = 1\nretry-for = 1\n[peer.'*.field !base.*']\ncontimeout = 2\n[peer.'*.field']\ncontimeout = 3\nretry-for = 3";
    let fixture = Fixture::new(text, "");
    assert_eq!(fixture.words("r send a x.field:9000").unwrap(), "r send --contimeout=2 --retry-for=3 a x.field:9000");
    assert_eq!(fixture.words("r send a base.field:9").unwrap(), "r send --contimeout=3 --retry-for=3 a base.field:9");
    assert_eq!(fixture.words("r send x.field b").unwrap(), "r send --contimeout=1 --retry-for=1 x.field b");
}

#[test]
fn parity_is_a_number_or_a_word_and_only_of_who_sends() {
    let fixture = Fixture::new("parity = 10\n[peer.'*.field']\nparity = '33%'", "");
    assert_eq!(fixture.words("r send a host:9").unwrap(), "r send --parity=10 a host:9");
    assert_eq!(fixture.words("r send a x.field:9").unwrap(), "r send --parity=33% a x.field:9");
    assert_eq!(fixture.words("r recv inbox").unwrap(), "r recv inbox");
    let fixture = fixture.variable("RESILIENT_PARITY", "table");
    assert_eq!(fixture.words("r send a x.field:9").unwrap(), "r send --parity=table a x.field:9");
    assert_eq!(fixture.words("r send --parity auto a host:9").unwrap(), "r send --parity auto a host:9");
    let error = Fixture::new("parity = 206", "").error("r send a host:9");
    assert!(error.starts_with("/user.toml:1: invalid value '206' for '--parity"), "{error}");
}

#[test]
fn what_was_typed_is_kept_as_it_is() {
    let fixture = Fixture::new("contimeout = 1\ncolor = 'never'", "");
    assert_eq!(fixture.words("r send -- --a send").unwrap(), "r --color=never send --contimeout=1 -- --a send");
    assert_eq!(
        fixture.words("r --identity send send a").unwrap(),
        "r --color=never --identity send send --contimeout=1 a"
    );
    assert_eq!(fixture.words("r sync -a b").unwrap(), "r --color=never sync -a b");
}

#[test]
fn a_file_that_is_no_text_or_no_file_is_refused_and_never_waited_for() {
    let fixture = Fixture::new("x", "");
    std::fs::write(fixture.path("user.toml"), b"\xff").unwrap();
    assert_eq!(fixture.error("r recv"), "/user.toml: not a text in UTF-8");
    assert_eq!(fixture.error("r --config=/dev/zero recv"), "/dev/zero: not a regular file");
    assert_eq!(fixture.words("r --config=/dev/null recv").unwrap(), "r --config=/dev/null recv");
    for (name, typed) in [("own", "r --config=FOLDER/own recv"), ("user.toml", "r recv"), ("system.toml", "r recv")] {
        let fixture = Fixture::new("", "");
        rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path(name), rustix::fs::Mode::RWXU).unwrap();
        assert_eq!(fixture.error(typed), format!("/{name}: not a regular file"));
    }
}

#[test]
fn a_file_that_others_may_write_is_not_obeyed() {
    for name in ["user.toml", "system.toml"] {
        let fixture = Fixture::new("contimeout = 1", "contimeout = 1");
        let writable = std::os::unix::fs::PermissionsExt::from_mode(0o664);
        std::fs::set_permissions(fixture.path(name), writable).unwrap();
        assert_eq!(fixture.error("r recv"), format!("/{name}: other users may write to this file (mode 0664)"));
        // Giving a file away is root's alone.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(fixture.path(name), Some(12345), None).unwrap();
            assert_eq!(fixture.error("r recv"), format!("/{name}: belongs to another user (uid 12345)"));
        }
    }
}
