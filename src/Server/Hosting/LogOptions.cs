using System.ComponentModel.DataAnnotations;
using Serilog.Events;

namespace Ndif.Server.Hosting;

/// <summary>The options of logging: level, format and file.</summary>
public sealed record LogOptions
{
    /// <summary>The minimum level. Default: Information.</summary>
    public LogEventLevel Level { get; init; } = LogEventLevel.Information;

    /// <summary>Writes one JSON object per line to the console, for log collectors, instead of plain text. Default: false.</summary>
    public bool Json { get; init; }

    /// <summary>Also writes JSON lines to this file, which rolls every day and every 100 MiB; null for no file. Default: null.</summary>
    public string? File { get; init; }

    /// <summary>The number of log files that are kept. Default: 31.</summary>
    [Range(1, 10_000)]
    public int KeptFiles { get; init; } = 31;
}
