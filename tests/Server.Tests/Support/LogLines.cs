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

    /// <summary>The event's stable id; 0 if it has none.</summary>
    public static int IdOf(LogEvent line) =>
        line.Properties.TryGetValue("EventId", out LogEventPropertyValue? id) && id is StructureValue value
            && value.Properties.FirstOrDefault(p => p.Name == "Id")?.Value is ScalarValue { Value: int number } ? number : 0;

    public string Everything() => string.Join('\n', events.Select(line =>
        $"{Text(line)} {line.Exception} {string.Join(' ', line.Properties.Select(property => property.ToString()))}"));
}
