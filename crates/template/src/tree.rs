//! A parsed template.

use serde_json::Number;

/// A parsed template, ready to be executed any number of times.
#[derive(Clone, Debug)]
pub struct Template {
    pub(crate) text: String,
    pub(crate) nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Print(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// A condition and the two ways it can go.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) pipeline: Pipeline,
    pub(crate) then: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// Commands joined by `|`, and the variables that get the result.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// Names without the dollar; two only in `range`.
    pub(crate) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand and, for functions and methods, their arguments.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) operands: Vec<Operand>,
}

#[derive(Clone, Debug)]
pub(crate) struct Operand {
    /// Bytes of the template, for messages.
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) base: Base,
    /// `.A.B` after the base.
    pub(crate) fields: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Base {
    Dot,
    Variable(String),
    Function(String),
    Text(String),
    Number(Number),
    Bool(bool),
    Nil,
    Pipeline(Box<Pipeline>),
}

impl Template {
    /// Whether the template can print the field `name` of its data: it names it, or it uses the data as a whole.
    ///
    /// For callers to whom some fields are dear.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        nodes_use(&self.nodes, name)
    }
}

fn nodes_use(nodes: &[Node], name: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Print(pipeline) => pipeline_uses(pipeline, name),
        Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
            pipeline_uses(&branch.pipeline, name)
                || nodes_use(&branch.then, name)
                || nodes_use(&branch.otherwise, name)
        }
    })
}

fn pipeline_uses(pipeline: &Pipeline, name: &str) -> bool {
    pipeline.commands.iter().flat_map(|command| &command.operands).any(|operand| match &operand.base {
        Base::Dot => operand.fields.first().is_none_or(|field| field == name),
        Base::Variable(variable) if variable.is_empty() => {
            operand.fields.first().is_none_or(|field| field == name)
        }
        Base::Pipeline(inner) => pipeline_uses(inner, name),
        _ => false,
    })
}
