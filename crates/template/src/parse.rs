//! From pieces to a tree.

use crate::error::{Error, quote};
use crate::function;
use crate::lex::{Kind, Piece, Word, line_of, pieces};
use crate::tree::{Base, Branch, Command, Node, Operand, Pipeline, Template};

/// Deepest nesting of branches and parentheses.
const MAX_DEPTH: usize = 64;

impl Template {
    /// Parses a template of at most 64 KiB.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parser =
            Parser { text, pieces: pieces(text)?.into_iter(), variables: vec![String::new()], loops: 0 };
        let (nodes, end) = parser.list(0)?;
        match end {
            End::Text => Ok(Self { text: text.to_owned(), nodes }),
            End::Close { line } => Err(Error::Parse { line, message: "unexpected {{end}}".to_owned() }),
            End::Else { line, .. } => Err(Error::Parse { line, message: "unexpected {{else}}".to_owned() }),
        }
    }
}

struct Parser<'text> {
    text: &'text str,
    pieces: std::vec::IntoIter<Piece>,
    /// The variables in scope; the first is `$`.
    variables: Vec<String>,
    /// How many `range` we are in.
    loops: usize,
}

/// What ended a list of nodes.
enum End {
    /// The end of the template.
    Text,
    /// `{{end}}`
    Close { line: usize },
    /// `{{else}}`, with the words of a branch after it.
    Else { line: usize, words: Vec<Word> },
}

/// The three actions that have a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    If,
    With,
    Range,
}

impl Shape {
    fn of(name: &str) -> Option<Self> {
        match name {
            "if" => Some(Self::If),
            "with" => Some(Self::With),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }

    fn node(self, branch: Branch) -> Node {
        match self {
            Self::If => Node::If(branch),
            Self::With => Node::With(branch),
            Self::Range => Node::Range(branch),
        }
    }
}

fn fail<T>(line: usize, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Parse { line, message: message.into() })
}

impl Parser<'_> {
    /// Nodes up to `{{end}}`, `{{else}}` or the end of the text.
    fn list(&mut self, depth: usize) -> Result<(Vec<Node>, End), Error> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (line, words) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action { line, words } => (line, words),
            };
            if depth > MAX_DEPTH {
                return fail(line, format!("nested deeper than {MAX_DEPTH}"));
            }
            let name = match words.first().map(|word| &word.kind) {
                Some(Kind::Name(name)) => name.as_str(),
                None => return fail(line, "missing value for command"),
                _ => "",
            };
            match name {
                "end" if words.len() == 1 => return Ok((nodes, End::Close { line })),
                "end" => return fail(line, format!("unexpected {} in end", self.word(&words[1]))),
                "else" => return Ok((nodes, End::Else { line, words: words[1..].to_vec() })),
                "break" | "continue" if words.len() == 1 => {
                    if self.loops == 0 {
                        return fail(line, format!("{{{{{name}}}}} outside {{{{range}}}}"));
                    }
                    nodes.push(if name == "break" { Node::Break } else { Node::Continue });
                }
                "define" | "template" | "block" => {
                    return fail(line, format!("{{{{{name}}}}} is not supported"));
                }
                _ => match Shape::of(name) {
                    Some(shape) => nodes.push(self.branch(shape, line, &words[1..], depth)?),
                    None => nodes.push(Node::Print(self.pipeline(line, &words, "command", depth)?)),
                },
            }
        }
        Ok((nodes, End::Text))
    }

    /// A branch whose first words are `words`, up to its `{{end}}`.
    fn branch(&mut self, shape: Shape, line: usize, words: &[Word], depth: usize) -> Result<Node, Error> {
        if depth > MAX_DEPTH {
            return fail(line, format!("nested deeper than {MAX_DEPTH}"));
        }
        let scope = self.variables.len();
        let pipeline = self.pipeline(line, words, shape.name(), depth)?;
        if shape == Shape::Range {
            self.loops += 1;
        }
        let (then, end) = self.list(depth + 1)?;
        if shape == Shape::Range {
            self.loops -= 1;
        }
        let otherwise = match end {
            End::Close { .. } => Vec::new(),
            End::Text => return fail(line_of(self.text, self.text.len()), "unexpected EOF"),
            End::Else { line, words } => self.otherwise(shape, line, &words, depth)?,
        };
        self.variables.truncate(scope);
        Ok(shape.node(Branch { pipeline, then, otherwise }))
    }

    /// What stands after `{{else}}`: a list, or one more branch that shares the `{{end}}`.
    fn otherwise(
        &mut self,
        shape: Shape,
        line: usize,
        words: &[Word],
        depth: usize,
    ) -> Result<Vec<Node>, Error> {
        match words.first().map(|word| &word.kind) {
            None => match self.list(depth + 1)? {
                (nodes, End::Close { .. }) => Ok(nodes),
                (_, End::Else { line, .. }) => fail(line, "expected end; found {{else}}"),
                (_, End::Text) => fail(line_of(self.text, self.text.len()), "unexpected EOF"),
            },
            Some(Kind::Name(name)) if name == shape.name() && shape != Shape::Range => {
                Ok(vec![self.branch(shape, line, &words[1..], depth + 1)?])
            }
            Some(_) => fail(line, format!("unexpected {} in else clause", self.word(&words[0]))),
        }
    }

    /// The source of a word as a message shows it.
    fn word(&self, word: &Word) -> String {
        format!("<{}>", quote(&self.text[word.at..word.end]))
    }

    /// `$a, $b := commands`.
    fn pipeline(
        &mut self,
        line: usize,
        words: &[Word],
        place: &'static str,
        depth: usize,
    ) -> Result<Pipeline, Error> {
        let (mut variables, mut assigns, mut rest) = (Vec::new(), false, words);
        let name = |word: Option<&Word>| match word.map(|word| &word.kind) {
            Some(Kind::Variable(name)) => Some(name.clone()),
            _ => None,
        };
        let follows = |at: usize| words.get(at).map(|word| &word.kind);
        if let Some(first) = name(words.first()) {
            match (follows(1), name(words.get(2)), follows(3)) {
                (Some(kind @ (Kind::Declare | Kind::Assign)), _, _) => {
                    (variables, assigns, rest) = (vec![first], *kind == Kind::Assign, &words[2..]);
                }
                (Some(Kind::Comma), Some(second), Some(kind @ (Kind::Declare | Kind::Assign))) => {
                    if place != "range" {
                        return fail(line, format!("too many declarations in {place}"));
                    }
                    (variables, assigns, rest) = (vec![first, second], *kind == Kind::Assign, &words[4..]);
                }
                _ => {}
            }
        }
        if assigns && let Some(unknown) = variables.iter().find(|name| !self.variables.contains(name)) {
            return fail(line, format!("undefined variable \"${}\"", quote(unknown)));
        }
        let mut cursor = Cursor { parser: self, words: rest, at: 0, line };
        let commands = cursor.commands(place, depth)?;
        if let Some(word) = cursor.peek().cloned() {
            let shown = self.word(&word);
            return fail(line, format!("unexpected {shown} in {place}"));
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, assigns, commands })
    }
}

/// A place in the words of one action.
struct Cursor<'parser, 'text, 'words> {
    parser: &'parser Parser<'text>,
    words: &'words [Word],
    at: usize,
    line: usize,
}

impl<'words> Cursor<'_, '_, 'words> {
    fn peek(&self) -> Option<&'words Word> {
        self.words.get(self.at)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        fail(self.line, message)
    }

    /// Commands joined by `|`, up to the end or a closing parenthesis.
    fn commands(&mut self, place: &str, depth: usize) -> Result<Vec<Command>, Error> {
        if depth > MAX_DEPTH {
            return self.fail(format!("nested deeper than {MAX_DEPTH}"));
        }
        let mut commands = Vec::new();
        loop {
            let command = self.command(depth)?;
            let Some(first) = command.operands.first() else {
                return self.fail(match commands.is_empty() {
                    true => format!("missing value for {place}"),
                    false => "empty command".to_owned(),
                });
            };
            // As Go: only what can be called may get the value before the bar.
            let can_be_called = match &first.base {
                Base::Function(_) => true,
                Base::Dot | Base::Variable(_) | Base::Pipeline(_) => !first.fields.is_empty(),
                _ => false,
            };
            if !commands.is_empty() && !can_be_called {
                let text = quote(&self.parser.text[first.at..first.end]);
                return self.fail(format!(
                    "non executable command in pipeline stage {}: {text}",
                    commands.len() + 1
                ));
            }
            commands.push(command);
            match self.peek().map(|word| &word.kind) {
                Some(Kind::Pipe) => self.at += 1,
                _ => return Ok(commands),
            }
        }
    }

    /// Operands with blanks between them.
    fn command(&mut self, depth: usize) -> Result<Command, Error> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(word) = self.peek() {
            if matches!(word.kind, Kind::Pipe | Kind::Close) {
                break;
            }
            if !operands.is_empty() && !word.spaced {
                return self.fail(format!("unexpected {} in operand", self.parser.word(word)));
            }
            operands.push(self.operand(word, depth)?);
        }
        Ok(Command { operands })
    }

    fn operand(&mut self, word: &'words Word, depth: usize) -> Result<Operand, Error> {
        self.at += 1;
        let mut fields = Vec::new();
        let base = match &word.kind {
            Kind::Dot => Base::Dot,
            Kind::Field(name) => {
                fields.push(name.clone());
                Base::Dot
            }
            Kind::Variable(name) => {
                if !self.parser.variables.contains(name) {
                    return self.fail(format!("undefined variable \"${}\"", quote(name)));
                }
                Base::Variable(name.clone())
            }
            Kind::Text(text) => Base::Text(text.clone()),
            Kind::Number(number) => Base::Number(number.clone()),
            Kind::Name(name) => match name.as_str() {
                "true" => Base::Bool(true),
                "false" => Base::Bool(false),
                "nil" => Base::Nil,
                name if function::is_known(name) => Base::Function(name.to_owned()),
                name => return self.fail(format!("function \"{}\" not defined", quote(name))),
            },
            Kind::Open => {
                let commands = self.commands("parenthesized pipeline", depth + 1)?;
                if self.peek().map(|word| &word.kind) != Some(&Kind::Close) {
                    return self.fail("unclosed left paren");
                }
                self.at += 1;
                Base::Pipeline(Box::new(Pipeline { variables: Vec::new(), assigns: false, commands }))
            }
            Kind::Close => return self.fail("unexpected right paren"),
            _ => return self.fail(format!("unexpected {} in operand", self.parser.word(word))),
        };
        let takes_fields = match &base {
            Base::Dot => !fields.is_empty(),
            Base::Variable(_) | Base::Pipeline(_) => true,
            _ => false,
        };
        while let Some(Word { kind: Kind::Field(name), spaced: false, .. }) = self.peek() {
            if !takes_fields {
                return self.fail(format!("unexpected . after term \"{}\"", quote(name)));
            }
            fields.push(name.clone());
            self.at += 1;
        }
        let end = self.words[self.at - 1].end;
        Ok(Operand { at: word.at, end, base, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_in_go() {
        for (text, expected) in [
            ("{{.A", "template: :1: unclosed action"),
            ("{{", "template: :1: unclosed action"),
            ("a\n{{if .A}}", "template: :2: unexpected EOF"),
            ("{{end}}", "template: :1: unexpected {{end}}"),
            ("{{else}}", "template: :1: unexpected {{else}}"),
            ("{{}}", "template: :1: missing value for command"),
            ("{{if}}{{end}}", "template: :1: missing value for if"),
            ("{{nope .A}}", "template: :1: function \"nope\" not defined"),
            ("{{$x}}", "template: :1: undefined variable \"$x\""),
            ("{{$x = 1}}", "template: :1: undefined variable \"$x\""),
            ("{{if 1}}{{$x := 1}}{{end}}{{$x}}", "template: :1: undefined variable \"$x\""),
            ("{{(.A}}", "template: :1: unclosed left paren"),
            ("{{.A)}}", "template: :1: unexpected <)> in command"),
            ("{{\"a}}", "template: :1: unterminated quoted string"),
            ("{{`a}}", "template: :1: unterminated raw quoted string"),
            ("{{.A | 1}}", "template: :1: non executable command in pipeline stage 2: 1"),
            ("{{break}}", "template: :1: {{break}} outside {{range}}"),
            ("{{/* a}}", "template: :1: unclosed comment"),
            ("{{1x}}", "template: :1: bad number syntax: \"1x\""),
            ("{{template \"a\"}}", "template: :1: {{template}} is not supported"),
        ] {
            match Template::parse(text) {
                Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
                Ok(_) => panic!("{text} was accepted"),
            }
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |count: usize| format!("{}{}", "{{if 1}}".repeat(count), "{{end}}".repeat(count));
        assert!(Template::parse(&deep(60)).is_ok());
        assert!(Template::parse(&deep(2000)).is_err());
        assert!(Template::parse(&format!("{{{{{}.{}}}}}", "(".repeat(5000), ")".repeat(5000))).is_err());
        let chain = format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(3000));
        assert!(Template::parse(&chain).is_err());
        assert!(Template::parse(&" ".repeat(70_000)).is_err());
    }

    #[test]
    fn a_template_knows_what_it_uses() {
        for (text, expected) in [
            ("{{.Size}}", true),
            ("{{.ID}}", false),
            ("{{json .}}", true),
            ("{{if eq .Size 1}}x{{end}}", true),
            ("{{upper (print .Size)}}", true),
            ("Size", false),
            ("{{$.Size}}", true),
        ] {
            assert_eq!(Template::parse(text).unwrap().uses("Size"), expected, "{text}");
        }
    }
}
