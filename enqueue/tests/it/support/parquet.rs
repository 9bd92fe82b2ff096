//! Parquet files.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

/// A file with row groups of 700 rows.
pub fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(700));
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// What [`orders`](super::orders) writes.
pub fn parquet_orders(shop: &str, rows: usize) -> Vec<u8> {
    orders_called(shop, rows, |row| format!("Product {row}"))
}

/// What [`long_orders`](super::objects::long_orders) writes: less than 1,000 to the MiB.
pub fn long_parquet_orders(shop: &str, rows: usize) -> Vec<u8> {
    let name = "x".repeat(1024);
    orders_called(shop, rows, |row| format!("{row} {name}"))
}

fn orders_called(shop: &str, rows: usize, product: impl Fn(usize) -> String) -> Vec<u8> {
    let days = (0..rows).map(|row| 20_089 + i32::try_from(row % 28).unwrap());
    parquet(vec![
        ("PointOfSale", Arc::new(StringArray::from(vec![shop; rows]))),
        (
            "Product",
            Arc::new(StringArray::from_iter_values((0..rows).map(product))),
        ),
        ("Date", Arc::new(Date32Array::from_iter_values(days))),
        (
            "Stock",
            Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap())),
        ),
    ])
}
