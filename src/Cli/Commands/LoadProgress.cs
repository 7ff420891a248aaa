using System.Diagnostics;

namespace Ndif.Cli.Commands;

/// <summary>Reports a load that takes longer than a second on standard error, one line per ten percent.</summary>
/// <param name="isJson">Writes JSON objects, one per line.</param>
internal sealed class LoadProgress(bool isJson = false) : IProgress<(string What, long Done, long Total)>
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private int _lastTenth = -1;

    public void Report((string What, long Done, long Total) value)
    {
        if (Stopwatch.GetElapsedTime(_start) < TimeSpan.FromSeconds(1)) return;
        int tenth = value.Total == 0 ? 10 : (int)(10 * value.Done / value.Total);
        if (tenth == _lastTenth) return;
        if (tenth < _lastTenth || (_lastTenth < 0 && tenth == 0)) _lastTenth = -1;
        _lastTenth = tenth;
        string text = $"loading {value.What}: {10 * tenth}% of {value.Total / 1e6:0.#} MB";
        if (isJson) JsonLog.Write(Console.Error, text);
        else Console.Error.WriteLine(text);
    }
}
