// SPDX-License-Identifier: Apache-2.0

// Package interop holds what the client suites in Go share: the corpus of a run, and the cases, written once against
// the interface Client.
package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// Header is one header of a record; a nil Value is null.
type Header struct {
	Name  string
	Value []byte
}

// Record is one record to produce, or as it was consumed. A nil Key or Value is null, which is not empty.
type Record struct {
	Partition int32
	Offset    int64
	Timestamp int64 // ms; 0 lets the client choose when producing
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Time is the record's timestamp, now when it has none.
func (r Record) Time() time.Time {
	if r.Timestamp == 0 {
		return time.Now()
	}
	return time.UnixMilli(r.Timestamp)
}

func (r Record) encode() []byte {
	var out []byte
	out = binary.BigEndian.AppendUint64(out, uint64(r.Timestamp))
	out = appendBytes(out, r.Key)
	out = appendBytes(out, r.Value)
	out = binary.BigEndian.AppendUint32(out, uint32(len(r.Headers)))
	for _, header := range r.Headers {
		out = appendBytes(out, []byte(header.Name))
		out = appendBytes(out, header.Value)
	}
	return out
}

func appendBytes(out, data []byte) []byte {
	if data == nil {
		return binary.BigEndian.AppendUint32(out, 0xffffffff)
	}
	return append(binary.BigEndian.AppendUint32(out, uint32(len(data))), data...)
}

// readCorpus reads the file that ../corpus.py describes.
func readCorpus(path string) ([]Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	in := bytes.NewReader(data)
	take := func(into any) {
		if err == nil {
			err = binary.Read(in, binary.BigEndian, into)
		}
	}
	takeBytes := func() []byte {
		var size int32
		take(&size)
		if size < 0 || err != nil {
			return nil
		}
		if int(size) > in.Len() {
			err = fmt.Errorf("%s is truncated", path)
			return nil
		}
		value := make([]byte, size)
		take(value)
		return value
	}
	var count int32
	take(&count)
	records := make([]Record, count)
	for i := range records {
		take(&records[i].Timestamp)
		records[i].Key = takeBytes()
		records[i].Value = takeBytes()
		var headers int32
		take(&headers)
		for range headers {
			records[i].Headers = append(records[i].Headers, Header{string(takeBytes()), takeBytes()})
		}
	}
	return records, err
}
