//! `metav1.Table`: objects as rows of printable cells, which `kubectl get` requests and prints.
//!
//! [`columns`] lists the columns of each kind, [`cells`] computes their values, [`age`] formats ages.

mod age;
mod cells;
mod columns;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::store::Object;

use super::partial;
pub use cells::selector as selector_text;
use columns::Column;

/// The part of an object that its row includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// Parses the `includeObject` parameter; the default is the metadata.
    pub fn parse(text: &str) -> Self {
        match text {
            "None" => Self::None,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// Whether a table has column definitions. In a watch, only the first one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    Shown,
    Hidden,
}

/// A list as a table.
pub fn of_many(kind: Kind, objects: &[Object], include: Include, metadata: &Value) -> Value {
    let columns = columns::of(kind);
    let rows: Vec<Value> = objects.iter().map(|object| row(columns, object, include)).collect();
    table(metadata, definitions(columns), rows)
}

/// One object as a table with one row.
pub fn of_one(kind: Kind, object: &Value, include: Include, shown: Columns) -> Value {
    let columns = columns::of(kind);
    let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
    let definitions = if shown == Columns::Shown { definitions(columns) } else { json!([]) };
    table(&metadata, definitions, vec![row(columns, object, include)])
}

/// A table without columns and rows, for bookmarks.
pub fn of_none(metadata: &Value) -> Value {
    table(metadata, json!([]), Vec::new())
}

fn table(metadata: &Value, definitions: Value, rows: Vec<Value>) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn definitions(columns: &[Column]) -> Value {
    let define = |column: &Column| {
        json!({
            "name": column.name,
            "type": "string",
            "format": if column.name == "Name" { "name" } else { "" },
            "description": "",
            "priority": column.priority,
        })
    };
    columns.iter().map(define).collect()
}

fn row(columns: &[Column], object: &Value, include: Include) -> Value {
    let cells: Vec<String> = columns.iter().map(|column| (column.cell)(object)).collect();
    let mut row = json!({ "cells": cells });
    match include {
        Include::None => {}
        Include::Metadata => row["object"] = partial::object(object),
        Include::Object => row["object"] = object.clone(),
    }
    row
}
