using Ndif.Activations;

namespace Ndif;

/// <summary>Collects the activations of a model over a dataset.</summary>
public static class CollectExtensions
{
    /// <summary>
    /// Runs the model on the texts of a dataset and writes the values of sites at each token to the shards of a folder, together with the
    /// number of the text in the dataset, the id of the token and its position. Padding is left out. If the folder has the beginning of the
    /// same collection, from a run that was interrupted at any moment, it is continued. The pass ends at the last of the sites.
    /// </summary>
    /// <param name="dataset">
    /// The texts: a path of a .jsonl, .txt, .csv, .tsv or .parquet file, texts in memory, or another <see cref="TextDataset"/>.
    /// </param>
    /// <param name="sites">
    /// Values of the model with one entry for each token, [batch, seq, ...], as <see cref="Envoy.GetValue"/> takes them:
    /// "transformer.h.1.hidden".
    /// </param>
    /// <param name="folder">The folder; it is created if it does not exist.</param>
    /// <param name="remote">True: on the service. See <see cref="Backend"/>. A submission that exceeds a quota is repeated later.</param>
    /// <param name="progress">Receives the progress, at most ten times a second.</param>
    /// <returns>What the folder contains.</returns>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: the folder has a collection of another model, dataset or other options, which the message names; or a site has no
    /// entry for each token. BAD_INPUT: the dataset cannot be read. UNKNOWN_MODULE: there is no such site. CORRUPT_DATA: a shard of the
    /// folder is damaged.
    /// </exception>
    /// <exception cref="IOException">
    /// The folder cannot be written, or the disk is full. What was complete is kept, and the next call continues.
    /// </exception>
    /// <exception cref="OperationCanceledException">It was cancelled. What was complete is kept.</exception>
    /// <example><code>
    /// CollectReport report = await llm.CollectAsync("texts.jsonl", ["transformer.h.1.hidden"], "activations");
    /// </code></example>
    public static Task<CollectReport> CollectAsync(
        this TransformersModel model, TextDataset dataset, IReadOnlyList<string> sites, string folder, CollectOptions? options = null,
        Backend? remote = null, IProgress<CollectProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(dataset);
        ArgumentNullException.ThrowIfNull(sites);
        ArgumentException.ThrowIfNullOrEmpty(folder);
        options ??= new CollectOptions();
        options.Validate();
        // a flow of its own, so that the ambient recorder of the caller and those of the jobs do not meet
        return Task.Run(() => new Collector(model, dataset, sites, folder, options, remote, progress).RunAsync(cancellationToken),
            CancellationToken.None);
    }
}
