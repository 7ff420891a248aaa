namespace Ndif.Cli.Commands;

/// <summary>Reports the loading of a model on standard error, one line per ten percent.</summary>
internal sealed class LoadProgress : IProgress<(string What, long Done, long Total)>
{
    private int _lastTenth = -1;

    public void Report((string What, long Done, long Total) value)
    {
        int tenth = value.Total == 0 ? 10 : (int)(10 * value.Done / value.Total);
        if (tenth == _lastTenth) return;
        if (tenth < _lastTenth || (_lastTenth < 0 && tenth == 0)) _lastTenth = -1;
        _lastTenth = tenth;
        Console.Error.WriteLine($"loading {value.What}: {10 * tenth}% of {value.Total / 1e6:0.#} MB");
    }
}
