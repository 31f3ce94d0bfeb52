package gateway_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift/nightshift/gateway"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
)

// BenchmarkAccept is background calls over HTTP until their 202, on a private
// Redis, 16 callers per core. The callers share the machine.
func BenchmarkAccept(b *testing.B) {
	g, err := gateway.New(gateway.Config{
		RedisURL: redistest.URL(b), BlobURL: "file://" + b.TempDir(), Dev: true,
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Stop(b.Context())
	if err := g.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	c, err := client.New("http://"+g.AdminAddr()+"/api/v1", "", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	zip, digest := code(b, "x")
	d, err := c.CreateDeploy(b.Context(), "default", api.CreateDeploy{Functions: []function.Function{fn(job, digest)}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.UploadFunction(b.Context(), d.ID, job.Name, bytes.NewReader(zip)); err != nil {
		b.Fatal(err)
	}
	callers := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	defer callers.CloseIdleConnections()
	body := []byte(`{"to":"a@example.com"}`)
	var refused atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	begun := time.Now()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := callers.Post("http://"+g.Addr()+jobURL, "application/json", bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				refused.Add(1)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "accepted/s")
	if refused.Load() > 0 {
		b.Errorf("%d of %d calls were refused", refused.Load(), b.N)
	}
}
