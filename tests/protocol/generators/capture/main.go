// SPDX-License-Identifier: Apache-2.0

// Runs a program against franz-go's in-memory cluster (kfake) and prints the requests that its Kafka clients sent: for each
// client id, API and version the first two that differ. Run by generators/make, which writes vectors/clients.txt.
// Arguments: the program and its arguments; {} becomes the cluster's address.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sort"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	maxFrameBytes    = 1000
	framesPerVersion = 2
)

var (
	mutex  sync.Mutex
	frames = map[string][][]byte{} // by client, key and version
)

func keep(frame []byte) {
	if len(frame) < 10 || len(frame) > maxFrameBytes {
		return
	}
	length := int(int16(binary.BigEndian.Uint16(frame[8:])))
	if length <= 0 || len(frame) < 10+length {
		return
	}
	key := fmt.Sprintf("%s %03d %03d", frame[10:10+length], binary.BigEndian.Uint16(frame), binary.BigEndian.Uint16(frame[2:]))
	mutex.Lock()
	defer mutex.Unlock()
	for _, known := range frames[key] {
		if bytes.Equal(known[10+length:], frame[10+length:]) {
			return
		}
	}
	if len(frames[key]) < framesPerVersion {
		frames[key] = append(frames[key], bytes.Clone(frame))
	}
}

type connection struct {
	net.Conn
	pending []byte
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pending = append(c.pending, p[:n]...)
	for len(c.pending) >= 4 {
		size := int(binary.BigEndian.Uint32(c.pending))
		if len(c.pending) < 4+size {
			break
		}
		keep(c.pending[4 : 4+size])
		c.pending = c.pending[4+size:]
	}
	return n, err
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c}, nil
}

func main() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return listener{l}, err
		}))
	if err != nil {
		panic(err)
	}
	defer cluster.Close()
	arguments := os.Args[2:]
	for i := range arguments {
		arguments[i] = strings.ReplaceAll(arguments[i], "{}", cluster.ListenAddrs()[0])
	}
	command := exec.Command(os.Args[1], arguments...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mutex.Lock()
	defer mutex.Unlock()
	keys := make([]string, 0, len(frames))
	for key := range frames {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		for _, frame := range frames[key] {
			fmt.Printf("frame %s %x\n", strings.Fields(key)[0], frame)
		}
	}
}
