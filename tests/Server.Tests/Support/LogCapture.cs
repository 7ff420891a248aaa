using System.Collections.Concurrent;
using System.Globalization;
using Serilog.Core;
using Serilog.Events;

namespace Ndif.Server.Tests.Support;

/// <summary>Collects all log events, and renders them with their properties.</summary>
internal sealed class LogCapture : ILogEventSink
{
    private readonly ConcurrentQueue<LogEvent> _events = [];
    private TaskCompletionSource _eventLogged = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public IReadOnlyCollection<LogEvent> Events => _events;

    public void Emit(LogEvent logEvent)
    {
        _events.Enqueue(logEvent);
        Interlocked.Exchange(ref _eventLogged, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    /// <summary>Waits for log messages with this text.</summary>
    public async Task WaitForAsync(string text, int count = 1)
    {
        CancellationToken cancel = TestGateway.Cancel;
        while (true)
        {
            Task next = _eventLogged.Task;
            if (_events.Count(line => GetText(line).Contains(text, StringComparison.Ordinal)) >= count) return;
            await next.WaitAsync(cancel);
        }
    }

    /// <summary>Renders a message without quotes around strings.</summary>
    public static string GetText(LogEvent logEvent) =>
        logEvent.RenderMessage(CultureInfo.InvariantCulture).Replace("\"", "", StringComparison.Ordinal);

    /// <summary>Returns the event id; 0 if there is none.</summary>
    public static int GetEventId(LogEvent logEvent) =>
        logEvent.Properties.TryGetValue("EventId", out LogEventPropertyValue? id) && id is StructureValue value
            && value.Properties.FirstOrDefault(p => p.Name == "Id")?.Value is ScalarValue { Value: int number } ? number : 0;

    public string RenderAll() => string.Join('\n', _events.Select(line =>
        $"{GetText(line)} {line.Exception} {string.Join(' ', line.Properties.Select(property => property.ToString()))}"));
}
