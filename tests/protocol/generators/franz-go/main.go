// SPDX-License-Identifier: Apache-2.0

// Prints every message of the schema at every version as franz-go's kmsg encodes it: filled, and with nil wherever a
// field can be nil. Run by generators/make, which writes vectors/franz-go.txt. Arguments: NAME:MIN:MAX.
package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kmsg writes a tagged field that is set even at versions that do not have it yet; here it is set from this version on.
var tagged = map[string]int16{
	"ProduceResponse.CurrentLeader":   10,
	"ProduceResponse.Brokers":         10,
	"FetchRequest.ReplicaState":       15,
	"FetchRequest.ReplicaDirectoryID": 17,
	"FetchRequest.HighWatermark":      18,
	"FetchResponse.Brokers":           16,
}

type filler struct {
	message string
	version int16
	nulls   bool
	counter int64
}

func (f *filler) fill(v reflect.Value) {
	f.counter++
	n := f.counter
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(n%2 == 0)
	case reflect.Int8:
		v.SetInt(int64(int8(n)))
	case reflect.Int16:
		v.SetInt(n + 40)
	case reflect.Int32:
		v.SetInt(int64(int32(n * 0x01010101)))
	case reflect.Int64:
		v.SetInt(n * 0x0101010101010101)
	case reflect.String:
		v.SetString(fmt.Sprintf("text-ä-%d", n))
	case reflect.Ptr:
		if !f.nulls {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem())
		}
	case reflect.Array:
		for i := 0; i < v.Len(); i++ {
			v.Index(i).SetUint(uint64(n*7+int64(i)) & 0xff)
		}
	case reflect.Slice:
		if f.nulls && v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := 0; i < 2; i++ {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.Index(i).SetUint(uint64(n) & 0xff)
			} else {
				f.fill(v.Index(i))
			}
		}
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := 0; i < v.NumField(); i++ {
			name := v.Type().Field(i).Name
			if name != "Version" && name != "UnknownTags" && f.version >= tagged[f.message+"."+name] {
				f.fill(v.Field(i))
			}
		}
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

func create(name string, version int16) any {
	switch name {
	case "ConsumerProtocolSubscription":
		return &kmsg.ConsumerMemberMetadata{Version: version}
	case "ConsumerProtocolAssignment":
		return &kmsg.ConsumerMemberAssignment{Version: version}
	}
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		if request := kmsg.RequestForKey(key); request != nil && strings.EqualFold(kmsg.NameForKey(key)+"Request", name) {
			request.SetVersion(version)
			return request
		}
		if response := kmsg.ResponseForKey(key); response != nil && strings.EqualFold(kmsg.NameForKey(key)+"Response", name) {
			response.SetVersion(version)
			return response
		}
	}
	return nil
}

func main() {
	for _, argument := range os.Args[1:] {
		parts := strings.Split(argument, ":")
		low, _ := strconv.Atoi(parts[1])
		high, _ := strconv.Atoi(parts[2])
		for version := low; version <= high; version++ {
			for _, nulls := range []bool{false, true} {
				made := create(parts[0], int16(version))
				if made == nil {
					continue // headers
				}
				(&filler{message: parts[0], version: int16(version), nulls: nulls}).fill(reflect.ValueOf(made).Elem())
				bytes := made.(interface{ AppendTo([]byte) []byte }).AppendTo(nil)
				if strings.HasPrefix(parts[0], "Consumer") {
					bytes = bytes[2:] // its version
				}
				variant := "filled"
				if nulls {
					variant = "nulls"
				}
				hex := fmt.Sprintf("%x", bytes)
				if hex == "" {
					hex = "-"
				}
				fmt.Println(parts[0], version, variant, hex)
			}
		}
	}
}
