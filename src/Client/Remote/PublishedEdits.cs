using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>
/// Edited models that a service offers by a name, to every client of its OpenAI API: a completion of the name is one of the model with the
/// edits, in the same passes as those of everybody else. Names are 1 to 64 lower-case letters, digits, dots, dashes and underscores.
/// </summary>
public static class PublishedEdits
{
    /// <summary>
    /// Publishes the edits of a model, in place of those that the key has published under the name before. The edits may read and change
    /// the model; they may not save or log values, or call functions of this process.
    /// </summary>
    /// <param name="edited">A model with edits (<see cref="LanguageModel.Edit"/>), of which the service has the model without them.</param>
    /// <param name="everyone">True: every key may use the name. False: only the own key.</param>
    /// <param name="remote">The service; null for the default one.</param>
    /// <exception cref="InvalidOperationException">The model has no edits.</exception>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: the name is not valid, is that of a model, or another key has published it for everyone. UNSUPPORTED: the edits have a
    /// statement that published edits cannot have. QUOTA_EXCEEDED or LIMIT_EXCEEDED: they are too many or too large.
    /// </exception>
    /// <example><code>
    /// var polite = llm.Edit(() => llm.Layers[2].Hidden += direction * 4);
    /// await PublishedEdits.PublishAsync("polite", polite);
    /// </code></example>
    public static Task<EditsInfo> PublishAsync(
        string name, LanguageModel edited, bool everyone = false, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(edited);
        var request = new PublishEditsRequest { Name = name, Public = everyone, Program = EditsFile.RecordGeneration(edited) };
        return RemoteService.For(remote).PublishEditsAsync(request, cancellationToken);
    }

    /// <summary>Publishes the edits of a file, which <see cref="TracedModel.ExportEdits"/> has written.</summary>
    /// <param name="path">The file.</param>
    /// <param name="model">The name of the model on the service; null for the one that the file names.</param>
    /// <inheritdoc cref="PublishAsync(string, LanguageModel, bool, Backend?, CancellationToken)"/>
    /// <exception cref="NdifException">CORRUPT_DATA: it is no file of edits, or it is damaged.</exception>
    public static Task<EditsInfo> PublishAsync(
        string name, string path, bool everyone = false, string? model = null, Backend? remote = null,
        CancellationToken cancellationToken = default)
    {
        var edited = new LanguageModel(model ?? EditsFile.ReadModelId(path), remote: remote ?? Backend.Remote, edits: path);
        return PublishAsync(name, edited, everyone, remote, cancellationToken);
    }

    /// <summary>The published edits that the key may use: its own, and those of everyone.</summary>
    public static Task<IReadOnlyList<EditsInfo>> ListAsync(Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).ListEditsAsync(cancellationToken);

    /// <summary>The published edits that a name means for the key.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: there are none.</exception>
    public static Task<EditsInfo> GetAsync(string name, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).GetEditsAsync(name, cancellationToken);

    /// <summary>Deletes published edits of the key. Completions that have been accepted still run.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: the key has none of this name.</exception>
    public static Task<EditsInfo> DeleteAsync(string name, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).DeleteEditsAsync(name, cancellationToken);
}
