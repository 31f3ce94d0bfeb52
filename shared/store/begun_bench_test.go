package store

import (
	"testing"

	"github.com/nightshift/nightshift/shared/invocation"
)

// BenchmarkBegun is what a worker spends on the record of an attempt that began.
func BenchmarkBegun(b *testing.B) {
	const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	fields := []string{
		fieldBegin, fieldEvent, fieldState, fieldAttempts, fieldStarted, fieldID, fieldSite,
		fieldDeploy, fieldFunction, fieldKind, fieldCreated,
	}
	values := []any{
		"1795960000123-1", string(make([]byte, 1024)), "running", `{"n":1,"worker":"vm-8d783328","start":1795960000123}` + "\n", "1795960000123", id, "shop",
		"2d7ea4377b3d5419c08a2f16", "send-email-background", "background", "1795960000100",
	}
	b.ReportAllocs()
	for b.Loop() {
		r, _ := begunRecords.Get().(record)
		clear(r)
		r.set(fields, values)
		begun, err := r.begun(id, 1)
		if err != nil || begun.Invocation.State != invocation.Running {
			b.Fatal(begun, err)
		}
		begunRecords.Put(r)
	}
}
