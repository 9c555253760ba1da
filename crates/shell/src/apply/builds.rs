//! Roles of builds: targets and files of `make`, packages of Go, goals and properties of Maven and Gradle, and the
//! words that `cargo` and `npm` hand on to what they run.
//!
//! A build runs what its directory says; an allow of the program and of its definitions is about no more than that.
//! Promises: what a word brings in from outside the directory is `execute file`, what is fetched to run is `dynamic`,
//! and of the words that are handed on an option is `unknown` unless it is known to name no file. Does not promise that
//! nothing in the directory itself names other files (`#include`, a link). Held by: `fixtures/shell/programs.tsv`.

use crate::args::Call;
use crate::caps::HOME;
use crate::expand::{Field, Sure};
use crate::facts::{Role, Slot, Spec};
use crate::state::State;
use crate::walk::Walker;
use portcullis_model::{Action, Mark, Marks, Object, Operation, Part};

/// What `make` reads where nothing names its file.
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// Options of Rust's test harness that name no file.
const HARNESS: [&str; 26] = [
    "--nocapture",
    "--no-capture",
    "--show-output",
    "--test-threads",
    "--ignored",
    "--include-ignored",
    "--exact",
    "--skip",
    "--list",
    "--quiet",
    "-q",
    "--color",
    "--format",
    "--report-time",
    "--ensure-time",
    "--shuffle",
    "--shuffle-seed",
    "--test",
    "--bench",
    "--help",
    "-h",
    "-Z",
    "-Zunstable-options",
    "--exclude-should-panic",
    "--force-run-in-process",
    "--fail-fast",
];

/// Options of rustc about lints. Its `-Z` and `-C` load and run what they name.
const LINTS: [&str; 8] =
    ["--deny", "--warn", "--allow", "--forbid", "--force-warn", "--cap-lints", "--color", "--error-format"];

/// The short ones, with the lint behind the letter or in the next word.
const LINT_LETTERS: [&str; 4] = ["-D", "-W", "-A", "-F"];

/// Options of rustfmt that neither write elsewhere nor name a configuration.
const FORMATTER: [&str; 9] =
    ["--check", "-v", "--verbose", "-q", "--quiet", "-l", "--files-with-diff", "--color", "--edition"];

/// Those of them that take no argument.
const FORMATTER_FLAGS: [&str; 6] = ["-v", "--verbose", "-q", "--quiet", "-l", "--files-with-diff"];

/// Options of the usual programs that test, check and serve JavaScript that name no file.
const RUNNERS: [&str; 36] = [
    "--watch",
    "--watchAll",
    "--no-watch",
    "--run",
    "--ci",
    "--runInBand",
    "--bail",
    "--verbose",
    "--silent",
    "--quiet",
    "--coverage",
    "--no-coverage",
    "--passWithNoTests",
    "--onlyChanged",
    "--testNamePattern",
    "--testPathPattern",
    "-t",
    "--grep",
    "--color",
    "--no-color",
    "--help",
    "--fix",
    "--max-warnings",
    "-u",
    "--update",
    "--updateSnapshot",
    "--maxWorkers",
    "--workers",
    "--headed",
    "--changed",
    "--port",
    "--host",
    "--strictPort",
    "--mode",
    "--noEmit",
    "--pretty",
];

/// Goals of Maven's plugins that show what is there, or run the project's own program. Any other may run anything.
const GOALS: [&str; 14] = [
    "dependency:tree",
    "dependency:list",
    "dependency:resolve",
    "dependency:analyze",
    "dependency:go-offline",
    "help:help",
    "help:describe",
    "help:effective-pom",
    "help:active-profiles",
    "versions:display-dependency-updates",
    "versions:display-plugin-updates",
    "versions:display-property-updates",
    "spotless:check",
    "spring-boot:run",
];

/// Properties that choose among tests, leave steps out, or say how text is shown.
const PROPERTIES: [&str; 16] = [
    "skipTests",
    "skipITs",
    "maven.test.skip",
    "maven.test.failure.ignore",
    "test",
    "it.test",
    "failIfNoTests",
    "surefire.failIfNoSpecifiedTests",
    "checkstyle.skip",
    "spotbugs.skip",
    "jacoco.skip",
    "maven.javadoc.skip",
    "project.build.sourceEncoding",
    "style.color",
    "file.encoding",
    "user.timezone",
];

impl Walker<'_> {
    pub(super) fn build_role(&mut self, role: Role, field: &Field, name: &str, state: &State) {
        match role {
            Role::MakeTarget => self.make_target(field, state),
            Role::Makefile => self.makefile(field, name, state),
            Role::GoPackage => self.go_package(field, true, name, state),
            Role::GoSource => self.go_package(field, false, name, state),
            // Of the words behind a file those with its ending are files beside it.
            Role::GoFile if field.named().is_some_and(|text| text.ends_with(".go")) => {
                self.file(Action::Execute, field, Marks::NONE, state);
            }
            Role::GoFile => {}
            Role::GoTree => self.go_tree(field, state),
            Role::MavenGoal if field.named().is_some_and(|goal| !goal.contains(':') || GOALS.contains(&goal)) => {}
            Role::MavenGoal => self.foreign_code(name),
            Role::JavaProperty => self.property(field, false),
            Role::GradleProperty => self.property(field, true),
            Role::Harness if is_plain_word(field, &HARNESS) => {}
            Role::Lint if is_lint(field) || is_plain_word(field, &LINTS) => {}
            // What is no option is a file that it formats.
            Role::Formatted if !field.may_be_option() => self.file(Action::Update, field, Marks::NONE, state),
            Role::Formatted if is_plain_word(field, &FORMATTER) => {}
            Role::Script if is_plain_word(field, &RUNNERS) => self.script_word(field, state),
            _ => self.unread(),
        }
    }

    fn make_target(&mut self, field: &Field, state: &State) {
        match field.known().and_then(|text| text.split_once('=')) {
            Some((name, value)) => {
                let name = name.trim_end_matches([':', '+', '?', '!']);
                self.emit(Operation::new(Action::Configure, Object::Setting(Part::known(name))));
                if value.contains(['$', '`']) || field.text.contains("!=") {
                    self.dynamic_code();
                }
            }
            None if field.sure != Sure::Literal => self.dynamic_code(),
            // The rules that are built in hold for any path: what lies beside such a target is source for it.
            None if is_elsewhere(&field.text) => self.elsewhere(field, state),
            None => {}
        }
    }

    /// `make -f`: a file of another directory, or a device, says nothing of the sources in this one.
    fn makefile(&mut self, field: &Field, name: &str, state: &State) {
        self.executes(name, field, state);
        if field.known().is_none_or(|text| text.contains('/')) {
            for file in MAKEFILES {
                self.file(Action::Execute, &Field::literal(file), Marks::NONE, state);
            }
        }
    }

    /// What `go` is to build: a package of this module, a directory, files, or with a version what it fetches.
    fn go_package(&mut self, field: &Field, runs: bool, name: &str, state: &State) {
        let Some(text) = field.named() else {
            self.file(Action::Execute, field, Marks::NONE, state);
            return;
        };
        if text.contains('@') {
            self.execute(name, None, Marks::from(Mark::Dynamic).with(Mark::Network));
        } else if is_elsewhere(text) || (runs && text.ends_with(".go")) {
            let place = Field { text: tree_of(text).to_owned(), sure: field.sure };
            self.elsewhere(&place, state);
        }
    }

    /// `go fmt` writes over the files of the packages.
    fn go_tree(&mut self, field: &Field, state: &State) {
        let place = match field.named() {
            Some(text) if text.starts_with(['.', '/', HOME]) || text.ends_with(".go") => {
                Field { text: tree_of(text).to_owned(), sure: field.sure }
            }
            // An import path: a package of this module.
            Some(_) => Field::literal("."),
            None => field.clone(),
        };
        self.file(Action::Update, &place, Marks::from(Mark::Recursive), state);
    }

    /// `-Dname=value`. A property of the project itself (`-P` of Gradle) means what the build makes of it.
    fn property(&mut self, field: &Field, own: bool) {
        let (name, valued) = field.text.split_once('=').map_or((field.text.as_str(), false), |(name, _)| (name, true));
        if name.is_empty() || !(valued || field.sure == Sure::Literal) {
            self.unread();
            return;
        }
        let own = own && !["org.gradle.", "systemProp."].iter().any(|start| name.starts_with(start));
        if !own && !PROPERTIES.contains(&name) {
            self.emit(Operation::new(Action::Configure, Object::Setting(Part::known(name))));
        }
    }

    /// A word that a script of `package.json` is given: test programs run the files that they are told to.
    fn script_word(&mut self, field: &Field, state: &State) {
        if field.may_be_option() {
            if let Some((_, value)) = field.text.split_once('=').filter(|(_, value)| is_elsewhere(value)) {
                self.elsewhere(&Field { text: value.to_owned(), sure: field.sure }, state);
            }
            return;
        }
        match field.named() {
            Some(text) if is_elsewhere(text) => self.elsewhere(field, state),
            Some(_) => {}
            None => self.file(Action::Execute, field, Marks::NONE, state),
        }
    }

    /// What a build takes from outside its directory. `make` expands a tilde that the shell left.
    fn elsewhere(&mut self, field: &Field, state: &State) {
        let text = field.text.as_str();
        let file = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Field { text: format!("{HOME}{rest}"), sure: field.sure }
            }
            // The home of another login, or a member of an archive.
            Some(_) => Field::unknown(),
            None if text.contains('(') => Field::unknown(),
            None => field.clone(),
        };
        self.file(Action::Execute, &file, Marks::NONE, state);
    }
}

/// What the words behind `--` say of the whole call: `cargo fmt -- --check` writes nothing.
pub(super) fn behind_dashes(spec: &Spec, call: &mut Call) {
    if spec.operands.iter().any(|slot| matches!(slot, Slot::Many(Role::Formatted))) && checks(&call.operands) {
        call.modes.push("look".to_owned());
    }
}

/// Whether `--check` is among them as an option of its own: not behind another `--`, nor the argument of another option.
fn checks(words: &[Field]) -> bool {
    for word in words {
        match word.known() {
            Some("--check") => return true,
            Some(text) if !word.may_be_option() || FORMATTER_FLAGS.contains(&text) => {}
            Some(text) if text.starts_with("--") && text.contains('=') => {}
            Some(_) | None => return false,
        }
    }
    false
}

/// Whether a name may lead out of the directory that the build works in.
fn is_elsewhere(text: &str) -> bool {
    text.starts_with(['/', '~', HOME]) || text.split(['/', '(']).any(|part| part == "..")
}

/// The directory of a pattern of packages.
fn tree_of(text: &str) -> &str {
    match text.strip_suffix("...") {
        None => text,
        Some("") => ".",
        Some(place) => match place.trim_end_matches('/') {
            "" => "/",
            place => place,
        },
    }
}

/// Whether a word is no option, nor the name of a file of arguments, or one of these options. What stands behind an
/// equals sign need not be known.
fn is_plain_word(field: &Field, options: &[&str]) -> bool {
    let text = field.text.as_str();
    if !field.may_be_option() {
        return !text.starts_with('@');
    }
    match text.split_once('=') {
        Some((name, _)) => field.sure != Sure::Splits && options.contains(&name),
        None => field.sure == Sure::Literal && options.contains(&text),
    }
}

/// `-Dwarnings`, or the letter alone.
fn is_lint(field: &Field) -> bool {
    field.known().is_some_and(|text| LINT_LETTERS.iter().any(|letter| text.starts_with(letter)))
}
