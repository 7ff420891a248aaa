using Ndif.Protocol;

namespace Ndif.EndToEnd.Client;

/// <summary>An experiment that was recorded and has not run: its trace, and what it saves by name.</summary>
public sealed record RecordedExperiment(Trace Trace, IReadOnlyList<(string Name, Saved Value)> Saves) : IDisposable
{
    /// <summary>Runs it where its trace says.</summary>
    public async Task<IReadOnlyDictionary<string, TensorData>> RunAsync(CancellationToken cancellationToken = default)
    {
        using (Trace)
        {
            await Trace.RunAsync(cancellationToken);
            return Results;
        }
    }

    public IReadOnlyDictionary<string, TensorData> Results => Saves.ToDictionary(save => save.Name, save => save.Value.Tensor);

    public void Dispose() => Trace.Dispose();
}
