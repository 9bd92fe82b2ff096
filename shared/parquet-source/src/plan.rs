//! Which arrays a file is read into.
//!
//! Of several arrays that hold the same values one is chosen: text and bytes become views, which share the pages they came in. The
//! `parquet` crate is asked for these by a schema, and says whether it can.

mod walk;

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use parquet::{
    arrow::{
        ARROW_SCHEMA_META_KEY, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    },
    basic::LogicalType,
    file::metadata::ParquetMetaData,
    schema::types::{SchemaDescriptor, Type},
};

use crate::{
    ParquetError, Place,
    error::{Damage, guarded},
    shape::Shape,
};

/// Levels of groups, lists and maps in a column; a list takes two.
const MOST_LEVELS: usize = 200;

/// How a file is read.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) reading: ArrowReaderMetadata,
    /// The other way in which some columns are read.
    pub(crate) second: Option<SecondReading>,
    /// Of each column.
    pub(crate) shapes: Vec<Shape>,
}

#[derive(Debug, Clone)]
pub(crate) struct SecondReading {
    pub(crate) reading: ArrowReaderMetadata,
    pub(crate) columns: ProjectionMask,
}

impl Plan {
    pub(crate) fn new(metadata: &Arc<ParquetMetaData>) -> Result<Self, ParquetError> {
        let descriptor = metadata.file_metadata().schema_descr();
        refuse_deep(descriptor)?;
        refuse_unknown(descriptor.root_schema())?;
        let load = |options| guarded(|| Ok(ArrowReaderMetadata::try_new(Arc::clone(metadata), options)?));
        let base = load(ArrowReaderOptions::new().with_skip_arrow_metadata(true)).map_err(footer)?;
        let arrow = has_arrow_schema(metadata).then(|| load(ArrowReaderOptions::new()));
        let arrow = arrow.as_ref().and_then(|arrow| arrow.as_ref().ok());
        let arrow = arrow.map(|arrow| arrow.schema().fields());

        let mut shapes = Vec::new();
        let (mut first, mut second) = (Vec::<FieldRef>::new(), Vec::<FieldRef>::new());
        for (field, reading) in walk::columns(descriptor, base.schema().fields(), arrow)? {
            first.push(Arc::new(field.clone().with_data_type(reading.first)));
            second.push(Arc::new(field.clone().with_data_type(reading.second)));
            shapes.push(reading.shape);
        }
        let twice: Vec<usize> = (0..)
            .zip(&shapes)
            .filter(|(_, shape)| shape.is_read_twice())
            .map(|(at, _)| at)
            .collect();
        let with = |fields: Vec<FieldRef>| {
            let schema = Schema::new_with_metadata(fields, base.schema().metadata().clone());
            load(ArrowReaderOptions::new().with_schema(Arc::new(schema))).map_err(footer)
        };
        let second = match twice.as_slice() {
            [] => None,
            _ => Some(SecondReading {
                reading: with(second)?,
                columns: ProjectionMask::roots(descriptor, twice),
            }),
        };
        let reading = with(first)?;
        Ok(Self {
            reading,
            second,
            shapes,
        })
    }
}

fn has_arrow_schema(metadata: &ParquetMetaData) -> bool {
    let pairs = metadata.file_metadata().key_value_metadata();
    pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == ARROW_SCHEMA_META_KEY))
}

fn footer(damage: Damage) -> ParquetError {
    ParquetError::Damaged {
        place: Place::Footer,
        damage,
    }
}

/// Refuses what nobody means and no stack holds.
fn refuse_deep(descriptor: &SchemaDescriptor) -> Result<(), ParquetError> {
    let mut paths = descriptor.columns().iter().map(|leaf| leaf.path().parts());
    match paths.find(|path| path.len() > MOST_LEVELS) {
        None => Ok(()),
        Some(path) => Err(ParquetError::Column {
            column: path.first().cloned().unwrap_or_default(),
            problem: "has parts within parts on more than 200 levels",
        }),
    }
}

/// Refuses groups that would read as something else than they are.
fn refuse_unknown(root: &Type) -> Result<(), ParquetError> {
    let columns = root.get_fields();
    if columns.is_empty() {
        return Err(ParquetError::NoColumns);
    }
    for column in columns {
        if let Some(problem) = problem(column) {
            let column = column.name().to_owned();
            return Err(ParquetError::Column { column, problem });
        }
    }
    Ok(())
}

fn problem(part: &Type) -> Option<&'static str> {
    if part.is_primitive() {
        return None;
    }
    if matches!(part.get_basic_info().logical_type_ref(), Some(LogicalType::Variant(_))) {
        return Some("holds VARIANT values, which cannot be read: write them as JSON");
    }
    if part.get_fields().is_empty() {
        return Some("has a group without fields, which holds nothing: leave it out");
    }
    part.get_fields().iter().find_map(|part| problem(part))
}
