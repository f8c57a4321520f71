// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"sync"
	"time"
)

// backgroundMember polls on a goroutine of its own and commits what it got, as an application does.
type backgroundMember struct {
	stop sync.Once
	quit chan struct{}
	done chan struct{}

	mutex      sync.Mutex
	values     map[string]bool
	assignment map[int32]bool
	err        error
}

func startMember(client Client, group, topic string) *backgroundMember {
	m := &backgroundMember{quit: make(chan struct{}), done: make(chan struct{}), values: map[string]bool{}}
	go m.run(client, group, topic)
	return m
}

func (m *backgroundMember) run(client Client, group, topic string) {
	defer close(m.done)
	member, err := client.Member(group, topic)
	if err != nil {
		m.fail(err)
		return
	}
	defer member.Close()
	for {
		select {
		case <-m.quit:
			return
		default:
		}
		records, err := member.Poll(100 * time.Millisecond)
		if err != nil {
			m.fail(err)
			return
		}
		assignment := map[int32]bool{}
		for _, partition := range member.Assignment() {
			assignment[partition] = true
		}
		m.mutex.Lock()
		m.assignment = assignment
		for _, record := range records {
			m.values[string(record.Value)] = true
		}
		m.mutex.Unlock()
		if len(records) > 0 {
			// An error is no failure: a rebalance may have taken the partitions, whose next owner reads on.
			_ = member.Commit()
		}
	}
}

func (m *backgroundMember) fail(err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.err = err
}

// state returns copies of what the member owns and of the values it got.
func (m *backgroundMember) state() (map[int32]bool, map[string]bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	must(m.err)
	assignment, values := map[int32]bool{}, map[string]bool{}
	for partition := range m.assignment {
		assignment[partition] = true
	}
	for value := range m.values {
		values[value] = true
	}
	return assignment, values
}

func (m *backgroundMember) close() {
	m.stop.Do(func() { close(m.quit) })
	select {
	case <-m.done:
	case <-time.After(deadline):
		Fail("a member did not close")
	}
}
