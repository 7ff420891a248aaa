using Ndif.Protocol;

namespace Ndif.EndToEnd.Client;

/// <summary>An experiment that has been recorded but has not run: its trace, and the saved values by name.</summary>
public sealed record RecordedExperiment(Trace Trace, IReadOnlyList<(string Name, Saved Value)> Saves) : IDisposable
{
    /// <summary>Runs the trace on its backend and returns the results by name.</summary>
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
