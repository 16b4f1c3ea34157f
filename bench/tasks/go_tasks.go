// What goroutines cost on one thread: the names and units of bench/tasks/rill.c.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
)

func cpuNs() int64 {
	var usage syscall.Rusage

	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func yield(count int) {
	for i := 0; i < count; i++ {
		runtime.Gosched()
	}
}

func yield1000(count int) {
	var group sync.WaitGroup

	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func() {
			yield(count / 1000)
			group.Done()
		}()
	}
	group.Wait()
}

func spawn(count int) {
	for i := 0; i < count; i++ {
		done := make(chan struct{})
		go func() { close(done) }()
		<-done
	}
}

func groupOf10(count int) {
	for i := 0; i < count/10; i++ {
		var group sync.WaitGroup

		group.Add(10)
		for j := 0; j < 10; j++ {
			go func() { group.Done() }()
		}
		group.Wait()
	}
}

func future(count int) {
	ask := make(chan struct{})
	answer := make(chan struct{})

	go func() {
		for range ask {
			answer <- struct{}{}
		}
	}()
	for i := 0; i < count; i++ {
		ask <- struct{}{}
		<-answer
	}
	close(ask)
}

func main() {
	runtime.GOMAXPROCS(1)
	for _, m := range []struct {
		name  string
		fn    func(int)
		count int
	}{
		{"yield", yield, 2000000},
		{"yield-1000", yield1000, 2000000},
		{"spawn", spawn, 1000000},
		{"group-of-10", groupOf10, 1000000},
		{"future", future, 1000000},
	} {
		m.fn(1000)
		start := cpuNs()
		m.fn(m.count)
		fmt.Printf("%s %.1f\n", m.name, float64(cpuNs()-start)/float64(m.count))
	}
}
