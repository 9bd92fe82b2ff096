//! Writes made-up sale orders, the same for the same arguments: `cargo run --release --example generate -p testkit -- --rows 2000000`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Parser;

/// Writes a CSV file of made-up sale orders, the same for the same arguments
#[derive(Parser)]
struct Arguments {
    /// Records, besides the header
    #[arg(long)]
    rows: u64,
    /// The file; standard output without
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Quote every n-th product, with a delimiter within
    #[arg(long, default_value_t = 0)]
    quote_every: u64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let sink: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(File::create(path)?),
        None => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(1 << 20, sink);
    writeln!(out, "PointOfSale;Product;Date;Stock")?;
    for row in 0..arguments.rows {
        // Multiplication by an odd constant spreads the row numbers; the high bits are the random ones.
        let random = (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let (shop, product, day, stock) = (random % 500, random % 90_000, random % 365, random % 1_000);
        let (month, day) = (day / 31 + 1, day % 28 + 1);
        if arguments.quote_every > 0 && row % arguments.quote_every == 0 {
            writeln!(
                out,
                "POS-{shop:04};\"Product {product:06}; large\";2024-{month:02}-{day:02};{stock}"
            )?;
        } else {
            writeln!(
                out,
                "POS-{shop:04};Product {product:06};2024-{month:02}-{day:02};{stock}"
            )?;
        }
    }
    out.flush()
}
