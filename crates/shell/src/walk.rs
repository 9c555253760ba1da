//! The walk over the parser's tree.
//!
//! Every node kind has an arm; what has no meaning where it stands is `unknown`. Promises: each command is met on every
//! path that could reach it, with a state that covers what may have happened before it; steps are counted, so loops,
//! functions and braces cannot multiply without end. Held by: `fixtures/shell/*.tsv` and `tests/it/properties.rs`.

mod order;

use crate::caps;
use crate::reading::{Glob, Left, Limits, Reading, Scope, Simple};
use crate::secrets;
use crate::state::{Directories, Function, State, Value};
use portcullis_model::{Action, Fault, Mark, Object, Operation, Part, Reach};
use rable::{Node, NodeKind};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// A function's body, with the text that its spans lie in.
pub(crate) type Body = (Rc<str>, Rc<Node>);

/// What a command's standard input is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The channel's.
    Channel,
    /// Nothing.
    Null,
    /// Exactly this.
    Literal(String),
    /// A file, by name where known.
    File(crate::expand::Field),
    /// The rest of the text that the shell itself is reading.
    Script,
    /// What another command writes, or not known.
    Unknown,
}

impl Input {
    /// What is left of it once something was read: of a text nobody knows how much.
    pub(crate) fn less(self) -> Self {
        match self {
            Self::Literal(_) => Self::Unknown,
            Self::Channel | Self::Null | Self::File(_) | Self::Script | Self::Unknown => self,
        }
    }
}

/// One walk.
pub(crate) struct Walker<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) limits: &'a Limits,
    operations: Vec<Operation>,
    seen: HashSet<String>,
    globs: Vec<Glob>,
    pub(crate) secrets: Vec<String>,
    pub(crate) commands: Vec<Simple>,
    fault: Option<Fault>,
    pub(crate) stdin_as_code: bool,
    steps: usize,
    pub(crate) depth: usize,
    pub(crate) privileged: usize,
    pub(crate) foreign: usize,
    /// Where the SQL of the call being applied goes.
    pub(crate) reach: Arc<Reach>,
    /// States at `break`, `continue`, `return`: they may hold behind any loop or call.
    pub(crate) escaped: Option<State>,
    /// States at expansions that can fail: bash then drops the rest of the line and goes on with the next.
    dropped: Option<State>,
    pub(crate) calling: Vec<Rc<str>>,
    /// Every function's body that was met, and those that were walked.
    defined: Vec<(Rc<str>, Body)>,
    pub(crate) walked: Vec<Rc<Node>>,
    pub(crate) input: Input,
    pub(crate) text: Rc<str>,
    /// The texts that it stands in.
    pub(crate) within: Vec<Rc<str>>,
    /// Names whose assignments may fail or change the value: read-only ones, and those with attributes.
    pub(crate) strange: BTreeSet<String>,
    /// Names whose assignments are evaluated as arithmetic.
    pub(crate) numbers: BTreeSet<String>,
    /// What is read goes to `/bin/sh`, which need not be bash.
    pub(crate) posix: bool,
    /// Names made local in the functions being called.
    pub(crate) locals: Vec<String>,
    /// Globs mean something else than the target was asked for.
    pub(crate) odd_globs: bool,
    /// It went to a directory that is not known, so that `PWD` or `OLDPWD` may hold any text.
    pub(crate) strayed: bool,
    pub(crate) climbs: Vec<String>,
    /// What is being read is read for the names in it alone.
    pub(crate) listing: bool,
    /// Trees that are read so, and trees whose files are opened.
    listed: BTreeSet<String>,
    opened: BTreeSet<String>,
    /// What is being run stands for everything below a starting point of `find`.
    pub(crate) found_recursive: bool,
    /// Names that were assigned, and whether they were exported.
    pub(crate) left: BTreeMap<String, bool>,
}

/// Reads a text.
pub(crate) fn read(text: &str, scope: &Scope, limits: &Limits) -> Reading {
    if let Err(fault) = caps::check(text, limits) {
        return Reading { secrets: secrets::suspect(text), ..Reading::faulty(fault) };
    }
    let nodes = match rable::parse(text, false) {
        Ok(nodes) => nodes,
        Err(error) => {
            let fault = Fault::Syntax {
                message: "the text is not a command line of bash, or of a form that is not read".into(),
                position: u32::try_from(error.pos().saturating_add(1)).ok(),
            };
            return Reading { secrets: secrets::suspect(text), ..Reading::faulty(fault) };
        }
    };
    let mut walker = Walker::new(text, scope, limits);
    let directory = scope.directory.as_deref().map(|path| match (path.strip_prefix('~'), &scope.home) {
        (Some(rest), Some(home)) => format!("{home}{rest}"),
        _ => path.to_owned(),
    });
    let mut state = State::new(directory.as_deref());
    for (name, value) in &scope.variables {
        state.set(name, Value::Known(value.as_str().into()));
    }
    walker.sequence(&nodes, &mut state);
    let leaves = walker.leaves(&state);
    walker.uncalled(&mut state);
    walker.finish(text, leaves)
}

impl<'a> Walker<'a> {
    fn new(text: &str, scope: &'a Scope, limits: &'a Limits) -> Self {
        Self {
            scope,
            limits,
            operations: Vec::new(),
            seen: HashSet::new(),
            globs: Vec::new(),
            secrets: Vec::new(),
            commands: Vec::new(),
            fault: None,
            stdin_as_code: false,
            steps: 0,
            depth: 0,
            privileged: 0,
            foreign: 0,
            reach: Arc::new(Reach::unknown()),
            escaped: None,
            dropped: None,
            calling: Vec::new(),
            defined: Vec::new(),
            walked: Vec::new(),
            input: Input::Channel,
            text: text.into(),
            within: Vec::new(),
            strange: BTreeSet::new(),
            numbers: crate::variables::NUMBERS.iter().map(|name| (*name).to_owned()).collect(),
            posix: false,
            locals: Vec::new(),
            odd_globs: false,
            strayed: false,
            climbs: Vec::new(),
            listing: false,
            listed: BTreeSet::new(),
            opened: BTreeSet::new(),
            found_recursive: false,
            left: BTreeMap::new(),
        }
    }

    fn finish(mut self, text: &str, leaves: Vec<Left>) -> Reading {
        let mut found = secrets::ranges(text, &self.secrets);
        if let Some(fault) = self.fault {
            found.extend(secrets::suspect(text));
            return Reading { secrets: found, ..Reading::faulty(fault) };
        }
        if self.operations.is_empty() {
            self.operations.push(Operation::session());
        }
        Reading {
            operations: self.operations,
            fault: None,
            secrets: found,
            globs: self.globs,
            climbs: self.climbs,
            listed: self.listed.difference(&self.opened).cloned().collect(),
            reads_stdin_as_code: self.stdin_as_code,
            commands: self.commands,
            leaves,
        }
    }

    /// Adds an operation, once.
    pub(crate) fn emit(&mut self, mut operation: Operation) {
        if self.privileged > 0 {
            operation = operation.marked(Mark::Privileged);
        }
        if self.found_recursive && matches!(operation.object, Object::File(_)) {
            operation = operation.marked(Mark::Recursive);
        }
        if self.foreign > 0 && matches!(operation.object, Object::File(_)) {
            operation.object = Object::File(Part::Unknown);
        }
        if operation.action == Action::Read
            && operation.marks.contains(Mark::Recursive)
            && let Object::File(Part::Known(path)) = &operation.object
        {
            let trees = if self.listing { &mut self.listed } else { &mut self.opened };
            trees.insert(path.as_str().to_owned());
        }
        let mut key = operation.to_string();
        if let Some(reach) = &operation.reaches {
            key.push_str(&format!("{reach:?}"));
        }
        if self.seen.insert(key) {
            self.operations.push(operation);
        }
    }

    /// Something here was not understood.
    pub(crate) fn unread(&mut self) {
        self.emit(Operation::unknown());
    }

    /// Code runs that is not known.
    pub(crate) fn dynamic_code(&mut self) {
        self.emit(
            Operation::new(Action::Execute, Object::Program { name: Part::Unknown, subcommand: None })
                .marked(Mark::Dynamic),
        );
    }

    pub(crate) fn too_large(&mut self, what: &str) {
        self.unread();
        self.fault.get_or_insert_with(|| Fault::TooLarge { message: what.into() });
    }

    pub(crate) fn refuse(&mut self, fault: Fault) {
        self.unread();
        self.fault.get_or_insert(fault);
    }

    pub(crate) fn ask(&mut self, glob: Glob) {
        if self.foreign == 0 && !self.globs.contains(&glob) {
            self.globs.push(glob);
        }
    }

    /// Whether a name is no function and no alias, here or in a shell above this one that may have exported it, and
    /// nothing steps in before commands run, or writes into their output (`trap`, `shopt -s extdebug`, `enable -n`).
    pub(crate) fn is_own(&self, name: &str, state: &State) -> bool {
        let steps_in = |operation: &Operation| {
            operation.action == Action::Configure
                && matches!(&operation.object, Object::Setting(Part::Known(setting))
                    if matches!(setting.as_str(), "trap" | "shopt" | "enable" | "BASH_XTRACEFD"))
        };
        !state.references
            && !state.functions.contains_key(name)
            && !state.aliases.contains_key(name)
            && !self.defined.iter().any(|(defined, _)| &**defined == name)
            && !self.operations.iter().any(steps_in)
    }

    /// Counts a step; `false` when there are too many.
    pub(crate) fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps > self.limits.steps {
            self.too_large("the text runs too many commands, or the same ones too often");
            return false;
        }
        true
    }

    /// Reads a text inside the text in the shell's own state (`eval`).
    pub(crate) fn read_text(&mut self, text: &str, state: &mut State) {
        if self.depth >= self.limits.texts || caps::check(text, self.limits).is_err() || !self.step() {
            self.unread();
            return;
        }
        let Ok(nodes) = rable::parse(text, false) else {
            self.unread();
            return;
        };
        let outer = std::mem::replace(&mut self.text, text.into());
        self.within.push(outer);
        self.depth += 1;
        self.sequence(&nodes, state);
        self.depth -= 1;
        if let Some(outer) = self.within.pop() {
            self.text = outer;
        }
    }

    /// Reads the text of a substitution: a subshell, whose output is not known.
    pub(crate) fn nested(&mut self, text: &str, state: &State) {
        self.apart(|walker| walker.read_text(text, &mut state.clone()));
    }

    /// Runs what runs in a process of its own: where its standard input comes from is its own matter, but what it has read
    /// of this one is gone here, too.
    pub(crate) fn apart(&mut self, body: impl FnOnce(&mut Self)) {
        let outer = self.input.clone();
        body(self);
        if self.input != outer {
            self.input = outer.less();
        }
    }

    pub(crate) fn sequence(&mut self, nodes: &[Node], state: &mut State) {
        let outer = self.dropped.take();
        for node in nodes {
            self.run(node, state);
            settle(state);
            if let Some(dropped) = self.dropped.take() {
                state.join(&dropped);
                settle(state);
            }
        }
        self.dropped = outer;
    }

    /// What is expanded here may fail, and the rest of the line be dropped.
    pub(crate) fn may_drop(&mut self, state: &State) {
        match &mut self.dropped {
            Some(dropped) => dropped.join(state),
            None => self.dropped = Some(state.clone()),
        }
    }

    /// Walks one node.
    pub(crate) fn run(&mut self, node: &Node, state: &mut State) {
        if !self.step() {
            return;
        }
        let here = state.directories.clone();
        state.settle(here);
        self.reads_alike(&node.kind);
        match &node.kind {
            NodeKind::Command { assignments, words, redirects } => self.simple(assignments, words, redirects, state),
            NodeKind::Pipeline { commands, separators: _ } => self.pipeline(commands, state),
            NodeKind::List { items } => self.list(items, state),
            NodeKind::If { condition, then_body, else_body, redirects } => {
                self.redirected(redirects, state, |walker, state| {
                    walker.conditional(condition, then_body, else_body.as_deref(), state);
                });
            }
            NodeKind::While { condition, body, redirects } | NodeKind::Until { condition, body, redirects } => {
                self.redirected(redirects, state, |walker, state| walker.repeat(condition, body, state));
            }
            NodeKind::For { var, words, body, redirects } => {
                self.redirected(redirects, state, |walker, state| walker.each(var, words.as_deref(), body, state));
            }
            NodeKind::ForArith { init, cond, incr, body, redirects } => {
                if [init, cond, incr].iter().any(|part| !crate::pieces::looks_counted(part)) {
                    self.unread();
                }
                // The same for one anywhere in the body of such a loop.
                if self.text.replace("<<<", "").contains("<<") {
                    self.refuse_here_document();
                }
                self.redirected(redirects, state, |walker, state| walker.count([init, cond, incr], body, state));
            }
            NodeKind::Select { var, words, body, redirects } => {
                self.redirected(redirects, state, |walker, state| {
                    walker.reads_line();
                    walker.choose(var, words.as_deref(), body, state);
                });
            }
            NodeKind::Case { word, patterns, redirects } => {
                self.redirected(redirects, state, |walker, state| walker.case(word, patterns, state));
            }
            NodeKind::Function { name, body } => self.define(name, body, state),
            NodeKind::Subshell { body, redirects } => {
                self.apart(|walker| {
                    walker.redirected(redirects, &mut state.clone(), |walker, state| walker.run(body, state));
                });
            }
            NodeKind::BraceGroup { body, redirects } => {
                self.redirected(redirects, state, |walker, state| walker.run(body, state));
            }
            NodeKind::Coproc { name, command } => self.coprocess(name.as_deref(), command, state),
            NodeKind::ArithmeticCommand { expression: _, redirects, raw_content } => {
                self.no_here_documents(redirects);
                if !crate::pieces::looks_counted(raw_content) {
                    self.unread();
                }
                self.redirected(redirects, state, |walker, state| walker.arithmetic(raw_content, state));
            }
            NodeKind::ConditionalExpr { body, redirects } => {
                self.no_here_documents(redirects);
                self.redirected(redirects, state, |walker, state| walker.test_expression(body, state));
            }
            NodeKind::Negation { pipeline } => {
                self.run(pipeline, state);
                std::mem::swap(&mut state.directories, &mut state.failed);
                std::mem::swap(&mut state.previous, &mut state.previous_failed);
            }
            NodeKind::Time { pipeline, posix: _ } => self.run(pipeline, state),
            NodeKind::Empty | NodeKind::Comment { .. } => {}
            NodeKind::Word { .. }
            | NodeKind::WordLiteral { .. }
            | NodeKind::Redirect { .. }
            | NodeKind::HereDoc { .. }
            | NodeKind::ParamExpansion { .. }
            | NodeKind::ParamLength { .. }
            | NodeKind::ParamIndirect { .. }
            | NodeKind::CommandSubstitution { .. }
            | NodeKind::ProcessSubstitution { .. }
            | NodeKind::AnsiCQuote { .. }
            | NodeKind::LocaleString { .. }
            | NodeKind::BraceExpansion { .. }
            | NodeKind::ArithmeticExpansion { .. }
            | NodeKind::ArithNumber { .. }
            | NodeKind::ArithVar { .. }
            | NodeKind::ArithBinaryOp { .. }
            | NodeKind::ArithUnaryOp { .. }
            | NodeKind::ArithPreIncr { .. }
            | NodeKind::ArithPostIncr { .. }
            | NodeKind::ArithPreDecr { .. }
            | NodeKind::ArithPostDecr { .. }
            | NodeKind::ArithAssign { .. }
            | NodeKind::ArithTernary { .. }
            | NodeKind::ArithComma { .. }
            | NodeKind::ArithSubscript { .. }
            | NodeKind::ArithEmpty
            | NodeKind::ArithEscape { .. }
            | NodeKind::ArithDeprecated { .. }
            | NodeKind::ArithConcat { .. }
            | NodeKind::UnaryTest { .. }
            | NodeKind::BinaryTest { .. }
            | NodeKind::CondAnd { .. }
            | NodeKind::CondOr { .. }
            | NodeKind::CondNot { .. }
            | NodeKind::CondParen { .. }
            | NodeKind::CondTerm { .. }
            | NodeKind::Array { .. } => self.unread(),
        }
    }

    /// The parser does not hand over the text of a here-document on `[[ ]]` or `(( ))`, and then mixes up those behind it.
    fn no_here_documents(&mut self, redirects: &[Node]) {
        if redirects.iter().any(|node| matches!(node.kind, NodeKind::HereDoc { .. })) {
            self.refuse_here_document();
        }
    }

    fn refuse_here_document(&mut self) {
        self.refuse(Fault::Unsupported {
            message: "a here-document on [[ ]] or (( )), or beside a loop that counts, is not read: leave it out"
                .into(),
        });
    }

    /// The one text of a word node.
    pub(crate) fn value_of(&mut self, node: &Node, state: &mut State) -> crate::expand::Field {
        match &node.kind {
            NodeKind::Word { value, .. } => self.expand_one(value, state),
            NodeKind::CondTerm { value, .. } => self.expand_term(value, false, state),
            _ => {
                self.unread();
                crate::expand::Field::unknown()
            }
        }
    }

    /// `coproc NAME …`, which fills an array of that name and `NAME_PID`, and empties both when it ends.
    fn coprocess(&mut self, name: Option<&str>, command: &Node, state: &mut State) {
        if name.is_some_and(|name| !crate::param::is_name(name)) {
            self.unread();
        }
        // What the shell writes to it.
        let outer = std::mem::replace(&mut self.input, Input::Unknown);
        self.run(command, &mut state.clone());
        self.input = outer;
        let name = name.unwrap_or("COPROC");
        self.assigned(name, Value::Unknown, state);
        let process = format!("{name}_PID");
        self.leave(&process, false);
        state.set(&process, Value::Unknown);
    }

    fn define(&mut self, name: &str, body: &Node, state: &mut State) {
        if self.posix && self.text.contains("function") {
            // No word of POSIX sh: there the body runs, and the name stays what it was.
            self.dynamic_code();
        }
        if name.chars().any(|c| c.is_whitespace() || "|&;()<>\"'$`\\[]{}".contains(c)) {
            self.refuse(Fault::Ambiguous { message: "a function's name holds more than a name".into() });
        }
        let object = Object::Setting(Part::known(format!("{name}()")));
        self.emit(Operation::new(Action::Configure, object));
        let body = (Rc::clone(&self.text), Rc::new(body.clone()));
        state.functions.insert(name.into(), Function { bodies: vec![body.clone()], maybe_absent: false });
        self.defined.push((name.into(), body.clone()));
        // What a session keeps is called by later lines, which do not show it.
        if self.scope.session {
            self.body(name, &body, None, &mut state.clone());
        }
    }

    /// Functions that no command of the text calls: a hook may (`command_not_found_handle`), or a child (`export -f`).
    fn uncalled(&mut self, state: &mut State) {
        crate::loops::forget(state);
        let trap = Object::Setting(Part::known("trap"));
        let trapped = self.operations.iter().any(|operation| operation.object == trap);
        let mut at = 0;
        while let Some((name, body)) = self.defined.get(at).cloned() {
            at += 1;
            // What a trap calls may have been defined anew since, and it fires anywhere.
            let anew = trapped && self.defined.iter().filter(|(other, _)| *other == name).count() > 1;
            if anew || !self.walked.iter().any(|walked| Rc::ptr_eq(walked, &body.1)) {
                self.body(&name, &body, None, &mut state.clone());
            }
        }
    }
}

/// Whatever became of the last command, the shell goes on.
pub(crate) fn settle(state: &mut State) {
    let mut all: Directories = state.directories.clone();
    all.join(&state.failed);
    let failed = state.previous_failed.clone();
    state.previous.join(&failed);
    state.settle(all);
}
