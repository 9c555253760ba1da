//! Redirections: files opened, sockets that the shell itself connects, and what a command's standard input becomes.
//!
//! Promises: a redirection that is not understood is `unknown`; a target that is not known is an operation on an unknown
//! file; `/dev/tcp` and `/dev/udp` are connections however they are spelled. Any redirection may fail: what stands on it has
//! then not run, and both are so behind it. Held by: `fixtures/shell/redirects.tsv`.

use crate::expand::{Field, Sure};
use crate::state::State;
use crate::walk::{Input, Walker};
use portcullis_model::{Action, Fault, Mark, Marks, Object, Operation, Part};
use rable::{Node, NodeKind};
use std::rc::Rc;

impl Walker<'_> {
    /// Runs `body` with these redirections.
    pub(crate) fn redirected(
        &mut self,
        redirects: &[Node],
        state: &mut State,
        body: impl FnOnce(&mut Self, &mut State),
    ) {
        let outer = concerns_input(redirects).then(|| self.input.clone());
        self.redirects(redirects, state);
        // Where one of them fails, the body does not run and the shell goes on.
        let skipped = (!redirects.is_empty()).then(|| state.clone());
        body(self, state);
        if let Some(skipped) = skipped {
            state.or_failed(&skipped);
        }
        if let Some(outer) = outer {
            self.input = if gives_input(redirects) { outer } else { outer.less() };
        }
    }

    /// Performs redirections in their order. What their words assign need not hold behind them: a program's are expanded in
    /// its own process, those without a command in a subshell, and none is looked at behind one that failed.
    pub(crate) fn redirects(&mut self, redirects: &[Node], state: &mut State) {
        let before = (!redirects.is_empty()).then(|| state.clone());
        self.each_redirect(redirects, state);
        if let Some(before) = before {
            state.join(&before);
        }
    }

    fn each_redirect(&mut self, redirects: &[Node], state: &mut State) {
        if !redirects.is_empty() && names_descriptor(&self.text) {
            self.refuse(Fault::Ambiguous {
                message: "a descriptor's variable in front of a here-document, or one with a subscript: use a number"
                    .into(),
            });
        }
        for node in redirects {
            match &node.kind {
                NodeKind::Redirect { op, target, fd, varfd } => {
                    let NodeKind::Word { value, .. } = &target.kind else {
                        self.unread();
                        continue;
                    };
                    if let Some(name) = varfd {
                        self.assigned(name, crate::state::Value::Integer, state);
                    }
                    // Other shells read `{name}` and numbers of several digits as arguments, and `&>` as `&` and `>`.
                    if self.posix && (varfd.is_some() || *fd > 9 || matches!(op.as_str(), "&>" | "&>>" | "<<<")) {
                        self.dynamic_code();
                    }
                    let standard = is_standard(op, *fd, varfd.as_deref());
                    let cut = node.source_text(&self.text).ends_with('-');
                    self.redirect(op, value, standard, cut, state);
                }
                NodeKind::HereDoc { content, delimiter, quoted, fd, strip_tabs: _, complete: _ } => {
                    let text = Rc::clone(&self.text);
                    self.ends_plainly(node.source_text(&text), delimiter);
                    let field =
                        if *quoted { Field::literal(content.clone()) } else { self.expand_text(content, state) };
                    if self.posix && *fd > 9 {
                        self.dynamic_code();
                    }
                    if matches!(fd, -1 | 0) {
                        self.input = field.known().map_or(Input::Unknown, |text| Input::Literal(text.to_owned()));
                    }
                }
                _ => self.unread(),
            }
        }
    }

    /// Where a here-document ends is read alike by every bash and by the parser: its word is a plain one, and no line but
    /// its last begins with it and could be taken for the end. bash takes a line with blanks behind the word for text, and
    /// inside `$(…)`, from 5.2 on, one that begins with the word and holds a bracket for the end.
    fn ends_plainly(&mut self, operator: &str, delimiter: &str) {
        if !is_plain_end(operator) {
            self.refuse(Fault::Ambiguous {
                message: "the word that ends a here-document holds more than a word: use a plain one".into(),
            });
        }
        let nested = !self.within.is_empty();
        let may = |text: &str| text.lines().any(|line| may_end(line, delimiter, nested));
        // A line that goes on behind a backslash is one where the word is not quoted.
        let joined = |text: &str| text.contains("\\\n") && may(&text.replace("\\\n", ""));
        if self.within.iter().chain([&self.text]).any(|text| may(text) || joined(text)) {
            self.refuse(Fault::Ambiguous {
                message: "a line of a here-document begins with the word that ends it and goes on: choose another word"
                    .into(),
            });
        }
    }

    fn redirect(&mut self, op: &str, raw: &str, standard: bool, cut: bool, state: &mut State) {
        if raw.is_empty() || raw.chars().all(|c| "|&;()<>\n".contains(c)) {
            self.refuse(Fault::Syntax { message: "a redirection without a target".into(), position: None });
            return;
        }
        match op {
            "<" => {
                let target = self.target(raw, state);
                self.open(&target, &[Action::Read], state);
                if standard {
                    self.opened_input(target);
                }
            }
            "<>" => {
                let target = self.target(raw, state);
                self.open(&target, &[Action::Read, Action::Insert, Action::Update], state);
                if standard {
                    self.opened_input(target);
                }
            }
            ">" | ">|" | ">>" | "&>" | "&>>" => {
                let target = self.target(raw, state);
                self.open(&target, &[Action::Insert, Action::Update], state);
            }
            "<<<" => {
                let field = self.expand_one(raw, state);
                if standard {
                    self.input = field.known().map_or(Input::Unknown, |text| Input::Literal(format!("{text}\n")));
                }
            }
            ">&-" | "<&-" => {}
            ">&" | "<&" => {
                let target = self.target(raw, state);
                let descriptor = target.known().is_some_and(|text| text.bytes().all(|b| b.is_ascii_digit()));
                if standard && target.known() != Some("0") {
                    self.input = Input::Unknown;
                } else if !standard && target.known().is_none_or(|text| text.trim_end_matches('-') == "0") {
                    // Whoever has the copy may read of it.
                    self.reads_line();
                }
                if !descriptor {
                    if self.posix {
                        self.dynamic_code();
                    }
                    // The parser takes a final `-` for "close", which bash does only behind a number.
                    let target = if cut { Field::unknown() } else { target };
                    self.open(&target, &[Action::Insert, Action::Update], state);
                }
            }
            _ => self.unread(),
        }
    }

    /// Standard input is this file; under its own name it is what it was.
    fn opened_input(&mut self, target: Field) {
        let input = input_of(target);
        let same = input == Input::Channel && matches!(self.input, Input::Literal(_) | Input::Script);
        if !same {
            self.input = input;
        }
    }

    fn target(&mut self, raw: &str, state: &mut State) -> Field {
        let mut fields = self.expand(raw, state);
        match (fields.pop(), fields.is_empty()) {
            (Some(field), true) => field,
            _ => Field { text: String::new(), sure: Sure::Splits },
        }
    }

    fn open(&mut self, target: &Field, actions: &[Action], state: &State) {
        for device in ["/dev/tcp/", "/dev/udp/"] {
            let Some(rest) = target.text.strip_prefix(device) else { continue };
            let mut parts = rest.splitn(2, '/');
            let (host, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let object = match target.sure {
                Sure::Literal if !host.is_empty() && !port.is_empty() => Part::known(format!("{host}:{port}")),
                Sure::Literal | Sure::Among | Sure::Starts | Sure::Splits => Part::Unknown,
            };
            let mut marks = Marks::from(Mark::Network);
            if target.sure != Sure::Literal {
                marks = marks.with(Mark::Dynamic);
            }
            self.emit(Operation::new(Action::Connect, Object::Host(object)).marked(marks));
            return;
        }
        for action in actions {
            self.file(*action, target, Marks::NONE, state);
        }
    }
}

/// Whether `<<WORD` has a word that is plain, or quoted as a whole.
fn is_plain_end(operator: &str) -> bool {
    let Some(word) = operator.strip_prefix("<<") else { return false };
    let word = word.strip_prefix('-').unwrap_or(word).trim_start_matches([' ', '\t']);
    let quoted = |quote: char| word.strip_prefix(quote).and_then(|word| word.strip_suffix(quote));
    let (word, blanks) = match quoted('\'').or_else(|| quoted('"')) {
        Some(word) => (word, true),
        None => (word.strip_prefix('\\').unwrap_or(word), false),
    };
    let plain = |c: char| c.is_alphanumeric() || "_.,:@%+!/=-".contains(c) || (blanks && c == ' ');
    !word.is_empty() && word.chars().all(plain)
}

/// Whether a line begins with the word of a here-document and could be taken for its end though it goes on.
fn may_end(line: &str, delimiter: &str, nested: bool) -> bool {
    line.trim_start_matches('\t')
        .strip_prefix(delimiter)
        .is_some_and(|rest| !rest.is_empty() && (rest.trim_end().is_empty() || (nested && rest.contains(')'))))
}

/// Whether a redirection is about standard input.
fn is_standard(op: &str, fd: i32, varfd: Option<&str>) -> bool {
    varfd.is_none() && (fd == 0 || (fd == -1 && op.starts_with('<')))
}

/// Whether one of them is about standard input.
fn concerns_input(redirects: &[Node]) -> bool {
    redirects.iter().any(|node| match &node.kind {
        NodeKind::Redirect { op, fd, varfd, target: _ } => is_standard(op, *fd, varfd.as_deref()),
        NodeKind::HereDoc { fd, .. } => matches!(fd, -1 | 0),
        _ => false,
    })
}

/// Whether one of them surely is another standard input, so that nothing is read of the outer one: not the same one by the
/// name of a device or as a copy, and nothing runs while it is opened.
pub(crate) fn gives_input(redirects: &[Node]) -> bool {
    let runs = |text: &str| text.contains(['$', '`', '(']);
    let device = |text: &str| ["dev/", "fd/", "proc/", "stdin"].iter().any(|part| text.contains(part));
    let any = redirects.iter().any(|node| match &node.kind {
        NodeKind::Redirect { op, fd, varfd, target } => {
            is_standard(op, *fd, varfd.as_deref())
                && match (op.as_str(), &target.kind) {
                    ("<<<", NodeKind::Word { value, .. }) => !runs(value),
                    ("<" | "<>", NodeKind::Word { value, .. }) => {
                        !runs(value) && (value == "/dev/null" || !device(value))
                    }
                    _ => false,
                }
        }
        NodeKind::HereDoc { fd, content, quoted, .. } => matches!(fd, -1 | 0) && (*quoted || !runs(content)),
        _ => false,
    });
    // With a copy of a descriptor beside it, or one that it was copied to, the outer one may still be read.
    any && !redirects.iter().any(|node| matches!(&node.kind, NodeKind::Redirect { op, .. } if op == "<&"))
}

/// Whether a text may hold `{name}<<END` or `{name[…]}>file`, which assign a variable and are not in the parser's tree.
fn names_descriptor(text: &str) -> bool {
    let text = text.replace("\\\n", "");
    text.match_indices('{').any(|(at, _)| {
        let word = text.get(..at).unwrap_or_default().chars().next_back();
        if word.is_some_and(|c| !c.is_whitespace() && !"|&;()<>`".contains(c)) {
            return false;
        }
        let (name, rest) = crate::param::name_of(text.get(at + 1..).unwrap_or_default());
        if !crate::param::is_name(name) {
            return false;
        }
        if rest.starts_with('[') {
            // Up to the end of the word, however it is quoted.
            return rest.split('}').skip(1).any(|behind| behind.starts_with(['<', '>']));
        }
        rest.strip_prefix("}<<").is_some_and(|behind| !behind.starts_with('<'))
    })
}

fn input_of(target: Field) -> Input {
    match target.known() {
        Some("/dev/null") => Input::Null,
        Some("/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") => Input::Channel,
        Some(text) if crate::caps::is_pipe(text) => Input::Unknown,
        Some(_) => Input::File(target),
        None => Input::Unknown,
    }
}
