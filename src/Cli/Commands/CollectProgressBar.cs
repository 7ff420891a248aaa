using System.Diagnostics;
using System.Globalization;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>Shows the progress of a collection on standard error: a bar on a terminal, else a line every ten seconds.</summary>
internal static class CollectProgressBar
{
    private static readonly TimeSpan _lineInterval = TimeSpan.FromSeconds(10);

    public static Task<CollectReport> RunAsync(Func<IProgress<CollectProgress>, Task<CollectReport>> collect)
    {
        if (Console.IsErrorRedirected) return collect(new LineProgress());
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        Progress bars = console.Progress().Columns(new ProgressBarColumn(), new PercentageColumn(), new TaskDescriptionColumn());
        return bars.StartAsync(context =>
        {
            ProgressTask bar = context.AddTask("loading", maxValue: 1);
            return collect(new BarProgress(bar));
        });
    }

    private sealed class BarProgress(ProgressTask bar) : IProgress<CollectProgress>
    {
        public void Report(CollectProgress value)
        {
            bar.Value = value.Fraction;
            bar.Description = Markup.Escape(Describe(value));
        }
    }

    private sealed class LineProgress : IProgress<CollectProgress>
    {
        private long _last = Stopwatch.GetTimestamp();

        public void Report(CollectProgress value)
        {
            if (Stopwatch.GetElapsedTime(_last) < _lineInterval) return;
            _last = Stopwatch.GetTimestamp();
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{100 * value.Fraction:0}%: {Describe(value)}"));
        }
    }

    /// <summary>"1,234,567 rows, 632.1 MB, 45,678 rows/s, 0:12:34 left"</summary>
    private static string Describe(CollectProgress value) => string.Create(CultureInfo.InvariantCulture,
        $"{value.Rows:N0} rows, {value.Bytes / 1e6:N1} MB, {value.RowsPerSecond:N0} rows/s")
        + (value.Remaining is { } left ? $", {left:h\\:mm\\:ss} left" : "");
}
