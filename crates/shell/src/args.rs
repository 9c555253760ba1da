//! A program's arguments, read by its row: which are options, what each argument is.
//!
//! Promises: GNU long options are matched by unambiguous prefix as `getopt_long` does it, where a row is one program's;
//! clusters of short options give their argument what is left of the cluster or the next word; what is no option of the
//! row, or is read otherwise by programs that do not use `getopt` (`tree`, `xxd`, `zip`), makes the call `troubled`; an
//! argument that is not known and could be an option makes it `doubtful`. Held by: `fixtures/shell/programs.tsv`.

use crate::expand::{Field, Sure};
use crate::facts::{Argument, Effect, OptionFact, Role, Slot, Spec, Style};
use portcullis_model::Marks;

/// A call, read.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// Arguments of options, in order.
    pub(crate) values: Vec<(Role, Field)>,
    pub(crate) operands: Vec<Field>,
    pub(crate) marks: Marks,
    pub(crate) effects: Vec<Effect>,
    pub(crate) modes: Vec<String>,
    /// An option that the row does not have.
    pub(crate) troubled: bool,
    /// An argument that may or may not be an option.
    pub(crate) doubtful: bool,
    /// `--` was met, or the style stopped: where the operands start in the arguments.
    pub(crate) ended: bool,
}

impl Call {
    pub(crate) fn has(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }

    fn take(&mut self, fact: &OptionFact, argument: Option<Field>) {
        self.marks = self.marks.union(fact.marks);
        self.effects.extend(&fact.effects);
        self.modes.extend(fact.mode.clone());
        match (fact.argument, argument) {
            (Argument::Required(role) | Argument::Optional(role), Some(field)) => self.values.push((role, field)),
            (Argument::Required(_), None) => self.troubled = true,
            (Argument::None | Argument::Optional(_), _) => {}
        }
    }
}

/// Reads arguments. With `stop`, or in a style that stops, everything from the first operand on is an operand.
pub(crate) fn parse(arguments: &[Field], spec: &Spec, style: Style, stop: bool) -> Call {
    let call = Call::default();
    let mut reader = Reader { spec, style, call, words: arguments, rest: arguments, first: true };
    let stop = stop || matches!(style, Style::Stop | Style::Letter);
    // `@FILE`, wherever it stands: what the file holds is taken for arguments.
    if let Some(fact) = reader.find("@").filter(|_| arguments.iter().any(|argument| argument.text.starts_with('@'))) {
        reader.call.take(&fact, None);
        reader.call.troubled = true;
    }
    while let Some((argument, rest)) = reader.rest.split_first() {
        reader.rest = rest;
        let first = std::mem::replace(&mut reader.first, false);
        // In another order an option takes another word for its argument, or stands behind `--`.
        let literal = Field::literal(argument.text.as_str());
        let argument = if argument.sure == Sure::Among && !reader.call.ended && reader.may_be_read(argument, first) {
            reader.call.doubtful = true;
            &literal
        } else {
            argument
        };
        if style == Style::None || reader.call.ended {
            reader.call.operands.push(argument.clone());
        } else if argument.text == "-" && argument.sure == Sure::Literal && reader.find("-").is_some() {
            // `su -`: the dash is an option.
        } else if argument.text == "--" && argument.sure == Sure::Literal {
            reader.call.ended = true;
        } else if argument.may_be_option() && argument.sure != Sure::Literal && !argument.text.starts_with('-') {
            reader.call.doubtful = true;
            reader.operand(argument, stop);
        } else if first && style == Style::Tar && !argument.text.starts_with('-') && argument.known().is_some() {
            let cluster = argument.text.clone();
            reader.old_cluster(&cluster);
        } else if let Some(fact) = reader.plus(argument, first) {
            let value = argument.text.get(1..).unwrap_or_default().to_owned();
            reader.call.take(&fact, Some(Field { text: value, sure: argument.sure }));
        } else if argument.may_be_option() {
            reader.option(argument);
            if reader.call.has(Effect::End) {
                reader.call.ended = true;
            }
        } else {
            reader.operand(argument, stop);
        }
    }
    reader.call
}

struct Reader<'a> {
    spec: &'a Spec,
    style: Style,
    call: Call,
    /// All arguments, and those that are left.
    words: &'a [Field],
    rest: &'a [Field],
    first: bool,
}

impl Reader<'_> {
    fn operand(&mut self, argument: &Field, stop: bool) {
        self.call.operands.push(argument.clone());
        self.call.ended |= stop;
    }

    fn find(&self, name: &str) -> Option<OptionFact> {
        self.spec.options.iter().find(|fact| fact.names.iter().any(|known| known == name)).cloned()
    }

    /// Whether a name that a pattern met is more than an operand.
    fn may_be_read(&self, name: &Field, first: bool) -> bool {
        let plus = name.text.starts_with('+') && (self.find("+").is_some() || self.find("+#").is_some());
        self.style != Style::None && (plus || name.may_be_option() || (first && self.style == Style::Tar))
    }

    fn next(&mut self) -> Option<Field> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        // Unquoted, it may be several words, and those behind the first are arguments of their own. Of what a pattern
        // met any may be the first.
        self.call.doubtful |= matches!(first.sure, Sure::Splits | Sure::Among);
        Some(first.clone())
    }

    /// A word with a plus: an option whatever it says, or for `tail` a number that stands first, before one file at most.
    fn plus(&self, argument: &Field, first: bool) -> Option<OptionFact> {
        let rest = argument.text.strip_prefix('+')?;
        if let Some(fact) = self.find("+") {
            return Some(fact);
        }
        let digits = rest.strip_suffix('f').unwrap_or(rest);
        let digits = digits.strip_suffix(['b', 'c', 'l']).unwrap_or(digits);
        let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let alone = match self.rest {
            [] => true,
            [file] => !file.may_be_option(),
            _ => false,
        };
        self.find("+#").filter(|_| first && number && alone && argument.sure == Sure::Literal)
    }

    fn option(&mut self, argument: &Field) {
        let text = argument.text.as_str();
        if argument.sure == Sure::Splits {
            self.call.doubtful = true;
        }
        if self.style == Style::Single {
            self.single(argument);
        } else if let Some(long) = text.strip_prefix("--") {
            self.long(long, argument.sure);
        } else {
            self.cluster(argument);
        }
    }

    fn long(&mut self, text: &str, sure: Sure) {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if value.is_none() && sure != Sure::Literal {
            self.call.doubtful = true;
            return;
        }
        let Some(fact) = self.by_prefix(name) else {
            self.call.troubled = true;
            return;
        };
        // In a row of several programs an abbreviation may mean another option of one of them.
        self.call.troubled |= self.spec.whole && !fact.names.iter().any(|known| known.strip_prefix("--") == Some(name));
        let value = value.map(|value| Field { text: value.to_owned(), sure });
        if fact.effects.contains(&Effect::Named) {
            // A name stands before the argument, in a word of its own.
            self.call.troubled |= value.is_some() || self.next().is_none();
        }
        let value = match (fact.argument, value) {
            (Argument::Required(_), None) => self.next(),
            (Argument::None, Some(_)) => {
                self.call.troubled = true;
                None
            }
            (_, value) => value,
        };
        self.call.take(&fact, value);
    }

    /// The option with this name, or the one that all names starting so belong to.
    fn by_prefix(&self, name: &str) -> Option<OptionFact> {
        let full = format!("--{name}");
        if let Some(fact) = self.find(&full) {
            return Some(fact);
        }
        let mut found = self.spec.options.iter().filter(|fact| fact.names.iter().any(|known| known.starts_with(&full)));
        match (found.next(), found.next()) {
            (Some(fact), None) => Some(fact.clone()),
            _ => None,
        }
    }

    fn single(&mut self, argument: &Field) {
        let text = argument.text.trim_start_matches('-');
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some(fact) = self.find(&format!("-{name}")) else {
            self.call.troubled = true;
            return;
        };
        // What is not known of it may make it another.
        self.call.doubtful |= value.is_none() && argument.sure != Sure::Literal;
        // `-check=false` is not `-check`.
        let switched = fact.argument == Argument::None && value.is_some_and(|value| value != "true");
        self.call.troubled |= switched && (fact.mode.is_some() || !fact.effects.is_empty());
        let value = value.map(|value| Field { text: value.to_owned(), sure: argument.sure });
        let value = match (fact.argument, value) {
            (Argument::Required(_), None) => self.next(),
            (_, value) => value,
        };
        self.call.take(&fact, value);
    }

    /// `-xvf file`, `-ofile`, `-5`.
    fn cluster(&mut self, argument: &Field) {
        let text = argument.text.get(1..).unwrap_or_default();
        // Programs such as `find` and `java` beside GNU ones: a whole word behind one dash.
        if let Some(fact) = self.find(&argument.text).filter(|_| argument.text.len() > 2) {
            self.call.doubtful |= argument.sure != Sure::Literal;
            let value = matches!(fact.argument, Argument::Required(_)).then(|| self.next()).flatten();
            self.call.take(&fact, value);
            return;
        }
        let mut number = false;
        for (at, letter) in text.char_indices() {
            if letter.is_ascii_digit()
                && let Some(fact) = self.find("-#")
            {
                self.call.take(&fact, None);
                number |= self.find(&format!("-{letter}")).is_none();
                continue;
            }
            let Some(fact) = self.find(&format!("-{letter}")) else {
                self.call.troubled = true;
                return;
            };
            if number && fact.effects.contains(&Effect::Unit) {
                continue;
            }
            let rest = text.get(at + letter.len_utf8()..).unwrap_or_default();
            let inside = at > 0 && self.is_name_inside(text.get(at..).unwrap_or_default());
            if inside || self.is_read_otherwise(&fact, rest, argument.sure, number) {
                self.call.troubled = true;
                return;
            }
            match fact.argument {
                Argument::None => self.call.take(&fact, None),
                Argument::Required(_) if rest.is_empty() && argument.sure == Sure::Literal => {
                    let value = self.next();
                    self.call.take(&fact, value);
                    return;
                }
                Argument::Required(_) => {
                    // Where nothing is glued to it after all, the next word is its argument.
                    self.call.doubtful |= rest.is_empty() && !self.rest.is_empty();
                    self.call.take(&fact, Some(Field { text: rest.to_owned(), sure: argument.sure }));
                    return;
                }
                Argument::Optional(_) => {
                    let glued = !rest.is_empty() || argument.sure != Sure::Literal;
                    let value = glued.then(|| Field { text: rest.to_owned(), sure: argument.sure });
                    self.call.take(&fact, value);
                    return;
                }
            }
        }
        if argument.sure != Sure::Literal {
            self.call.doubtful = true;
        }
    }

    /// `zip -qTT`: a name of two letters stands inside the cluster.
    fn is_name_inside(&self, text: &str) -> bool {
        let names = self.spec.options.iter().flat_map(|fact| &fact.names);
        let words = names.filter_map(|name| name.strip_prefix('-'));
        words.filter(|word| word.len() > 1 && !word.starts_with('-')).any(|word| text.starts_with(word))
    }

    /// Whether the next word, or what is glued to a letter, may be something else to the program than it would be to
    /// `getopt`: an option, or a file.
    fn is_read_otherwise(&self, fact: &OptionFact, rest: &str, sure: Sure, number: bool) -> bool {
        let required = matches!(fact.argument, Argument::Required(_));
        match self.style {
            Style::Apart => required && (sure != Sure::Literal || !rest.bytes().all(|b| b.is_ascii_digit())),
            Style::Letter => {
                let counts = rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
                !(rest.is_empty() || (required && counts))
            }
            Style::Bsd => !rest.is_empty() && fact.names.iter().any(|name| is_bsd_flag(name)) && self.spells_e(),
            Style::Gnu | Style::Stop | Style::Single | Style::Tar | Style::None => {
                number && required && rest.is_empty()
            }
        }
    }

    /// Whether `ps`, which reads all words once more where one names no login, would then find the `e` that shows
    /// environments. Behind a word without a dash the others are not seen here.
    fn spells_e(&self) -> bool {
        let letters = |field: &Field| {
            let letters = field.text.strip_prefix('-').unwrap_or_default();
            letters.starts_with(|c: char| c.is_ascii_alphabetic())
                && (field.sure != Sure::Literal || letters.contains('e'))
        };
        self.spec.whole || self.words.iter().any(letters)
    }

    /// `tar cvf file`: the letters' arguments follow in their order.
    fn old_cluster(&mut self, text: &str) {
        for letter in text.chars() {
            let Some(fact) = self.find(&format!("-{letter}")) else {
                self.call.troubled = true;
                return;
            };
            let value = matches!(fact.argument, Argument::Required(_)).then(|| self.next()).flatten();
            self.call.take(&fact, value);
        }
    }
}

/// Options of `ps` with an argument that are letters without one in its BSD syntax.
fn is_bsd_flag(name: &str) -> bool {
    matches!(name, "-g" | "-s" | "-u")
}

/// Which operand is what: operands in their places, and `true` where there are more than places, or one of several
/// names that a pattern met stands where the program takes it for something else than the others.
pub(crate) fn place(operands: &[Field], slots: &[Slot], skip_first: bool, no_into: bool) -> (Vec<(Role, Field)>, bool) {
    let mut slots: Vec<&Slot> = slots.iter().collect();
    if skip_first && let Some(at) = slots.iter().position(|slot| matches!(slot, Slot::One(_))) {
        slots.remove(at);
    }
    if no_into {
        slots.retain(|slot| !matches!(slot, Slot::One(Role::Into | Role::RemoteInto)));
    }
    let many = slots.iter().position(|slot| matches!(slot, Slot::Many(_)));
    let is_one = |slot: &&&Slot| matches!(slot, Slot::One(_));
    let before: Vec<Role> =
        slots.iter().take(many.unwrap_or(slots.len())).filter(is_one).filter_map(|slot| role(slot)).collect();
    let after: Vec<Role> = many
        .map(|at| slots.iter().skip(at + 1).filter(is_one).filter_map(|slot| role(slot)).collect())
        .unwrap_or_default();
    let mut out = Vec::new();
    let middle_end = operands.len().saturating_sub(after.len()).max(before.len().min(operands.len()));
    let rest = many.and_then(|at| slots.get(at)).and_then(|slot| role(slot));
    let mut roles = before.iter().chain(&after).copied().chain(rest);
    let alike = roles.next().is_none_or(|first| roles.all(|role| role == first));
    let mut excess = false;
    for (at, operand) in operands.iter().enumerate() {
        let middle = at >= before.len() && at < middle_end;
        excess |= operand.sure == Sure::Among && !alike && !middle;
        let role = if at < before.len() {
            before.get(at).copied()
        } else if at < middle_end {
            many.and_then(|at| slots.get(at)).and_then(|slot| role(slot))
        } else {
            after.get(at - middle_end).copied()
        };
        match role {
            Some(role) => out.push((role, operand.clone())),
            None => excess = true,
        }
        // What may be several operands may fill every place from here on.
        if operand.sure == Sure::Splits {
            for role in before.iter().skip(at + 1).chain(&after) {
                out.push((*role, Field::unknown()));
            }
        }
    }
    for slot in &slots {
        match slot {
            Slot::Always(role, text) => out.push((*role, Field::literal(text.clone()))),
            Slot::Default(role, text) => {
                if out.iter().all(|(placed, _)| placed != role) {
                    out.push((*role, Field::literal(text.clone())));
                }
            }
            Slot::One(_) | Slot::Many(_) => {}
        }
    }
    (out, excess)
}

fn role(slot: &Slot) -> Option<Role> {
    match slot {
        Slot::One(role) | Slot::Many(role) | Slot::Always(role, _) | Slot::Default(role, _) => Some(*role),
    }
}
