"""Makes the files beside this one, with pyarrow 26."""

import datetime as dt
import decimal as d
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

n = None
t = pa.table({
 'flag': pa.array([True,n,False]),
 'tiny': pa.array([-128,n,127],pa.int8()),
 'count': pa.array([2**64-1,n,0],pa.uint64()),
 'big': pa.array([-2**63,n,2**63-1],pa.int64()),
 'half': pa.array([0.5,n,65504],pa.float16()),
 'single': pa.array([0.1,n,float('nan')],pa.float32()),
 'double': pa.array([1e300,n,float('-inf')],pa.float64()),
 'price': pa.array([d.Decimal('-1.50'),n,d.Decimal('99999999.99')],pa.decimal128(10,2)),
 'wide': pa.array([d.Decimal('0.'+'0'*59+'1'),n,d.Decimal('-1234567890123456.5')],pa.decimal256(76,60)),
 'day': pa.array([dt.date(1,1,1),n,dt.date(9999,12,31)],pa.date32()),
 'day64': pa.array([dt.date(1600,2,29),n,dt.date(2026,1,31)],pa.date64()),
 'at_s': pa.array([-62135596800,n,253402300799],pa.timestamp('s')),
 'at_ms': pa.array([-1,n,1500],pa.timestamp('ms')),
 'at_us': pa.array([-1,n,1],pa.timestamp('us',tz='UTC')),
 'at_ns': pa.array([-1,n,1000],pa.timestamp('ns',tz='Europe/Berlin')),
 'clock_ms': pa.array([0,n,86399999],pa.time32('ms')),
 'clock_ns': pa.array([1,n,86399999999999],pa.time64('ns')),
 'span': pa.array([-1500,n,93784000],pa.duration('ms')),
 'text': pa.array(['','\\N','a "quoted", line\r\nand \x00 é'],pa.string()),
 'large': pa.array(['x',n,'NULL'],pa.large_string()),
 'word': pa.array(['red',n,'red']).dictionary_encode(),
 'bytes': pa.array([b'',n,b'\x00\xff"'],pa.binary()),
 'fixed': pa.array([b'abc',n,b'\x00\x01\x02'],pa.binary(3)),
 'id': pa.array([uuid.UUID(int=1).bytes,n,uuid.UUID(int=2**128-1).bytes],pa.uuid()),
 'nothing': pa.nulls(3),
 'list': pa.array([[],n,[1,n,2**53+1]],pa.list_(pa.int64())),
 'pair': pa.array([(1,2),n,(3,4)],pa.list_(pa.int16(),2)),
 'map': pa.array([[('a',d.Decimal('1.10'))],n,[('k"',n),('',d.Decimal('-0.01'))]],pa.map_(pa.string(),pa.decimal128(5,2))),
 'group': pa.array([{'a':1.5,'b':b'\x01','c':dt.datetime(2026,1,31,12,0,0)},n,{'a':float('inf'),'b':n,'c':n}],pa.struct([('a',pa.float64()),('b',pa.binary()),('c',pa.timestamp('us',tz='UTC'))])),
 'json': pa.array(['{"a": 1}',n,'[]'],pa.json_()),
})
pq.write_table(t,'pyarrow.parquet',compression='zstd',write_page_checksum=True,write_statistics=False,use_dictionary=['word'],version='2.6')
u = pa.table({'old': pa.array([0,n,1_000_000_001],pa.timestamp('ns')),'olds': pa.array([[1],n,[n,-1]],pa.list_(pa.timestamp('ns')))})
pq.write_table(u,'int96.parquet',use_deprecated_int96_timestamps=True,compression='none')
