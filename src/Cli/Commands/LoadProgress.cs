namespace Ndif.Cli.Commands;

/// <summary>Tells on standard error how far a model's loading is, a line for each tenth of it.</summary>
internal sealed class LoadProgress : IProgress<(string What, long Done, long Total)>
{
    private int _shown = -1;

    public void Report((string What, long Done, long Total) value)
    {
        int tenth = value.Total == 0 ? 10 : (int)(10 * value.Done / value.Total);
        if (tenth == _shown) return;
        if (tenth < _shown || (_shown < 0 && tenth == 0)) _shown = -1;
        _shown = tenth;
        Console.Error.WriteLine($"loading {value.What}: {10 * tenth}% of {value.Total / 1e6:0.#} MB");
    }
}
