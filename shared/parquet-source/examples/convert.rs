//! Writes a Parquet file as CSV to standard output, and how fast that was to standard error.

use std::{env, error::Error, fs::File, io, time::Instant};

use parquet_source::ParquetFile;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("which file?")?;
    let begin = Instant::now();
    let file = ParquetFile::open(File::open(path)?)?;
    for column in file.columns() {
        eprintln!("{}: {}", column.name, column.kind);
    }
    let rows = file.rows();
    let bytes = io::copy(&mut file.into_csv(), &mut io::stdout().lock())?;
    let seconds = begin.elapsed().as_secs_f64();
    let mib = bytes as f64 / f64::from(1 << 20);
    eprintln!(
        "{rows} rows, {mib:.1} MiB of CSV in {seconds:.2} s: {:.0} MiB/s",
        mib / seconds
    );
    Ok(())
}
