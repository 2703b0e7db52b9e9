//! Executes a tree on data.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Error, on_one_line, quote};
use crate::function;
use crate::item::Item;
use crate::lex::line_of;
use crate::tree::{Base, Branch, Command, Node, Operand, Pipeline, Template};

/// Most nodes and operands that one execution visits.
const MAX_STEPS: usize = 1 << 20;
/// Most bytes of output.
const MAX_OUTPUT: usize = 16 << 20;
/// Most bytes that variables and results hold over a whole execution.
const MAX_MADE: usize = 64 << 20;

/// What a field of the data with arguments means, such as `.Label "key"`: its name, the arguments; `None` where there is
/// no such method.
pub type Methods<'data> = &'data dyn Fn(&str, &[&str]) -> Option<String>;

impl Template {
    /// What the template prints for `data`.
    ///
    /// # Errors
    /// [`Error::Execute`].
    pub fn execute(&self, data: &Value) -> Result<String, Error> {
        self.execute_with(data, &|_, _| None)
    }

    /// As [`Self::execute`], for data that has methods.
    ///
    /// # Errors
    /// [`Error::Execute`].
    pub fn execute_with(&self, data: &Value, methods: Methods<'_>) -> Result<String, Error> {
        let root = Item::Present(Cow::Borrowed(data));
        let mut run = Run {
            template: self,
            methods,
            variables: vec![("", root.clone())],
            output: String::new(),
            steps: 0,
            made: 0,
        };
        run.nodes(&self.nodes, &root)?;
        Ok(run.output)
    }
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// Whether a field that is missing is an error, or false.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    Error,
    False,
}

struct Run<'data, 'template> {
    template: &'template Template,
    methods: Methods<'template>,
    variables: Vec<(&'template str, Item<'data>)>,
    output: String,
    steps: usize,
    made: usize,
}

impl<'data, 'template> Run<'data, 'template> {
    fn fail<T>(&self, operand: &Operand, message: impl AsRef<str>) -> Result<T, Error> {
        let text = &self.template.text;
        let start = text[..operand.at].rfind('\n').map_or(0, |newline| newline + 1);
        Err(Error::Execute {
            line: line_of(text, operand.at),
            column: operand.at - start,
            context: quote(&text[operand.at..operand.end]),
            message: on_one_line(message.as_ref()),
        })
    }

    fn step(&mut self, operand: &Operand) -> Result<(), Error> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return self.fail(operand, format!("more than {MAX_STEPS} steps"));
        }
        Ok(())
    }

    /// Counts what was made, so that variables which grow in a loop end.
    fn keep(&mut self, operand: &Operand, item: &Item<'data>) -> Result<(), Error> {
        if let Item::Present(Cow::Owned(value)) = item {
            self.made += weight(value);
        }
        if self.made > MAX_MADE {
            return self.fail(operand, format!("more than {MAX_MADE} bytes of values"));
        }
        Ok(())
    }

    fn nodes(&mut self, nodes: &'template [Node], dot: &Item<'data>) -> Result<Flow, Error> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.output.push_str(text);
                    Flow::Next
                }
                Node::Print(pipeline) => {
                    let item = self.pipeline(pipeline, dot, Absent::Error)?;
                    if pipeline.variables.is_empty() {
                        self.output.push_str(&item.printed());
                        if self.output.len() > MAX_OUTPUT {
                            return self
                                .fail(first(pipeline), format!("more than {MAX_OUTPUT} bytes of output"));
                        }
                    }
                    Flow::Next
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, branch: &'template Branch, dot: &Item<'data>, is_with: bool) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let item = self.pipeline(&branch.pipeline, dot, Absent::False)?;
        let flow = match (item.is_true(), is_with) {
            (true, true) => self.nodes(&branch.then, &item)?,
            (true, false) => self.nodes(&branch.then, dot)?,
            (false, _) => self.nodes(&branch.otherwise, dot)?,
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, branch: &'template Branch, dot: &Item<'data>) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let over = self.commands(&branch.pipeline, dot, Absent::Error)?;
        let entries: Vec<(Item<'data>, Item<'data>)> = match &over {
            Item::Missing | Item::Unset | Item::Zero => Vec::new(),
            Item::Present(Cow::Borrowed(value)) => {
                pairs(value).map(|(key, value)| (key, Item::Present(Cow::Borrowed(value)))).collect()
            }
            Item::Present(Cow::Owned(value)) => {
                pairs(value).map(|(key, value)| (key, Item::Present(Cow::Owned(value.clone())))).collect()
            }
        };
        if let Some(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) = over.value() {
            let shown = quote(&Item::Present(Cow::Borrowed(value)).printed());
            return self.fail(first(&branch.pipeline), format!("range can't iterate over {shown}"));
        }
        if entries.is_empty() {
            let flow = self.nodes(&branch.otherwise, dot)?;
            self.variables.truncate(scope);
            return Ok(flow);
        }
        let names: Vec<&'template str> = branch.pipeline.variables.iter().map(String::as_str).collect();
        for (key, value) in entries {
            self.step(first(&branch.pipeline))?;
            let given = match names.len() {
                2 => vec![key, value.clone()],
                _ => vec![value.clone()],
            };
            for (name, item) in names.iter().zip(given) {
                self.set(name, item, branch.pipeline.assigns);
            }
            let flow = self.nodes(&branch.then, &value)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn set(&mut self, name: &'template str, item: Item<'data>, assigns: bool) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| assigns && *known == name);
        match known {
            Some((_, old)) => *old = item,
            None => self.variables.push((name, item)),
        }
    }

    fn pipeline(
        &mut self,
        pipeline: &'template Pipeline,
        dot: &Item<'data>,
        absent: Absent,
    ) -> Result<Item<'data>, Error> {
        let item = self.commands(pipeline, dot, absent)?;
        for name in &pipeline.variables {
            self.set(name, item.clone(), pipeline.assigns);
            self.keep(first(pipeline), &item)?;
        }
        Ok(item)
    }

    fn commands(
        &mut self,
        pipeline: &'template Pipeline,
        dot: &Item<'data>,
        absent: Absent,
    ) -> Result<Item<'data>, Error> {
        let mut last = None;
        for command in &pipeline.commands {
            let item = self.command(command, dot, last, absent)?;
            self.keep(&command.operands[0], &item)?;
            last = Some(item);
        }
        Ok(last.unwrap_or(Item::Missing))
    }

    fn command(
        &mut self,
        command: &'template Command,
        dot: &Item<'data>,
        last: Option<Item<'data>>,
        absent: Absent,
    ) -> Result<Item<'data>, Error> {
        let (head, rest) =
            command.operands.split_first().expect("the parser makes no command without operand");
        self.step(head)?;
        match &head.base {
            Base::Function(name) if name == "and" || name == "or" => {
                self.logic(head, rest, dot, last, absent)
            }
            Base::Function(name) => {
                // `not .Health` asks whether it is there, as a condition does.
                let absent = if name == "not" { absent } else { Absent::Error };
                let mut items = Vec::with_capacity(rest.len() + 1);
                for operand in rest {
                    items.push(self.operand(operand, dot, absent)?);
                }
                items.extend(last);
                function::call(name, &items).or_else(|reason| self.fail(head, reason))
            }
            _ if rest.is_empty() && last.is_none() => self.operand(head, dot, absent),
            _ => self.method(head, rest, dot, last),
        }
    }

    /// `and` and `or` look no further than they must.
    fn logic(
        &mut self,
        head: &'template Operand,
        rest: &'template [Operand],
        dot: &Item<'data>,
        last: Option<Item<'data>>,
        absent: Absent,
    ) -> Result<Item<'data>, Error> {
        let is_or = matches!(&head.base, Base::Function(name) if name == "or");
        let mut found = None;
        for operand in rest {
            let item = self.operand(operand, dot, absent)?;
            let ends = item.is_true() == is_or;
            found = Some(item);
            if ends {
                return Ok(found.unwrap_or(Item::Missing));
            }
        }
        match last.or(found) {
            Some(item) => Ok(item),
            None => self.fail(head, "wrong number of args: want at least 1 got 0"),
        }
    }

    /// A field with arguments.
    fn method(
        &mut self,
        head: &'template Operand,
        rest: &'template [Operand],
        dot: &Item<'data>,
        last: Option<Item<'data>>,
    ) -> Result<Item<'data>, Error> {
        let [name] = head.fields.as_slice() else {
            let shown = quote(&self.template.text[head.at..head.end]);
            return self.fail(head, format!("can't give argument to non-function {shown}"));
        };
        let mut items = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            items.push(self.operand(operand, dot, Absent::Error)?);
        }
        items.extend(last);
        let texts: Vec<Cow<'_, str>> = items.iter().map(Item::as_text).collect();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        match (self.methods)(name, &texts) {
            Some(text) => Ok(Item::text(text)),
            None => self.fail(head, format!("{name} is not a method but has arguments")),
        }
    }

    fn operand(
        &mut self,
        operand: &'template Operand,
        dot: &Item<'data>,
        absent: Absent,
    ) -> Result<Item<'data>, Error> {
        self.step(operand)?;
        let mut item = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map_or(Item::Missing, |(_, item)| item.clone())
            }
            Base::Text(text) => Item::text(text.clone()),
            Base::Number(number) => Item::Present(Cow::Owned(Value::Number(number.clone()))),
            Base::Bool(value) => Item::bool(*value),
            Base::Nil => Item::Zero,
            Base::Pipeline(pipeline) => self.commands(pipeline, dot, absent)?,
            Base::Function(name) => function::call(name, &[]).or_else(|reason| self.fail(operand, reason))?,
        };
        self.keep(operand, &item)?;
        for name in &operand.fields {
            item = match (item.field(name), absent) {
                (Ok(item), _) => item,
                (Err(_), Absent::False) if !is_scalar(&item) => return Ok(Item::Missing),
                (Err(reason), _) => return self.fail(operand, reason),
            };
        }
        Ok(item)
    }
}

fn is_scalar(item: &Item<'_>) -> bool {
    matches!(item.value(), Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)))
}

/// About how many bytes a value takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 8 + text.len(),
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 8,
        Value::Object(members) => {
            members.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>() + 8
        }
        _ => 8,
    }
}

/// Keys and values in the order in which Go's range visits them.
fn pairs<'data, 'value>(
    value: &'value Value,
) -> Box<dyn Iterator<Item = (Item<'data>, &'value Value)> + 'value>
where
    'data: 'value,
{
    match value {
        Value::Array(items) => {
            Box::new(items.iter().enumerate().map(|(at, value)| (Item::number(at), value)))
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            Box::new(members.into_iter().map(|(key, value)| (Item::text(key.clone()), value)))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// The operand that stands for a pipeline in messages.
fn first(pipeline: &Pipeline) -> &Operand {
    &pipeline.commands[0].operands[0]
}
