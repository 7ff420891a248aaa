using System.Collections.Concurrent;
using System.Globalization;
using Serilog.Core;
using Serilog.Events;

namespace Ndif.Server.Tests;

/// <summary>Keeps every log event, and renders it with all its properties.</summary>
internal sealed class LogLines : ILogEventSink
{
    private readonly ConcurrentQueue<LogEvent> events = [];
    private TaskCompletionSource news = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public IReadOnlyCollection<LogEvent> Events => events;

    public void Emit(LogEvent logEvent)
    {
        events.Enqueue(logEvent);
        Interlocked.Exchange(ref news, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    /// <summary>Returns once a line with this text has been logged.</summary>
    public async Task WaitForAsync(string text)
    {
        CancellationToken cancel = TestGateway.Cancel;
        while (true)
        {
            Task next = news.Task;
            if (events.Any(line => Text(line).Contains(text, StringComparison.Ordinal))) return;
            await next.WaitAsync(cancel);
        }
    }

    /// <summary>The message with its strings unquoted.</summary>
    public static string Text(LogEvent line) => line.RenderMessage(CultureInfo.InvariantCulture).Replace("\"", "", StringComparison.Ordinal);

    public string Everything() => string.Join('\n', events.Select(line =>
        $"{Text(line)} {line.Exception} {string.Join(' ', line.Properties.Select(property => property.ToString()))}"));
}
