// Command asynq is what a Go team would write instead: asynq behind Echo, as both
// come, on the contract of test/load/compare.
//
//	asynq gateway    each POST becomes a task
//	asynq worker     runs tasks: in this process, or with FUNCTION by a POST to that URL
//
// REDIS is host:port, LISTEN the gateway's address, CONCURRENCY how many tasks run
// at once, and POLL how long an empty queue is left alone (asynq's own is 1s).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/labstack/echo/v4"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "asynq:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 {
		return errors.New("say gateway or worker")
	}
	redis := asynq.RedisClientOpt{Addr: os.Getenv("REDIS"), PoolSize: 20}
	switch os.Args[1] {
	case "gateway":
		return gateway(redis, os.Getenv("LISTEN"))
	case "worker":
		return worker(ctx, redis)
	default:
		return fmt.Errorf("%q is neither gateway nor worker", os.Args[1])
	}
}

// gateway serves until it is killed.
func gateway(redis asynq.RedisClientOpt, addr string) error {
	client := asynq.NewClient(redis)
	e := echo.New()
	e.HideBanner = true
	e.GET("/ready", func(c echo.Context) error { return c.String(http.StatusOK, "ready") })
	e.POST("/.netlify/functions/:name", func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		// As often as a background function is tried, and as long.
		task, err := client.EnqueueContext(c.Request().Context(), asynq.NewTask(c.Param("name"), body), asynq.MaxRetry(2), asynq.Timeout(15*time.Minute))
		if err != nil {
			return echo.NewHTTPError(http.StatusServiceUnavailable, err.Error())
		}
		return c.JSON(http.StatusAccepted, map[string]string{"id": task.ID})
	})
	return e.Start(addr)
}

func worker(ctx context.Context, redis asynq.RedisClientOpt) error {
	concurrency, err := strconv.Atoi(os.Getenv("CONCURRENCY"))
	if err != nil {
		return fmt.Errorf("CONCURRENCY: %w", err)
	}
	poll, err := time.ParseDuration(os.Getenv("POLL"))
	if err != nil {
		return fmt.Errorf("POLL: %w", err)
	}
	handle, err := inProcess()
	if err != nil {
		return err
	}
	if url := os.Getenv("FUNCTION"); url != "" {
		handle = overHTTP(url, concurrency)
	}
	server := asynq.NewServer(redis, asynq.Config{Concurrency: concurrency, TaskCheckInterval: poll, LogLevel: asynq.WarnLevel})
	if err := server.Start(handle); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	server.Shutdown()
	return nil
}
