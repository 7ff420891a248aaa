using System.Collections;

namespace Ndif.Dictionaries;

/// <summary>The transcoders of the layers of a model, from layer 0 on.</summary>
public sealed class AttachedTranscoders : IReadOnlyList<AttachedSae>
{
    private readonly IReadOnlyList<AttachedSae> _layers;

    internal AttachedTranscoders(IReadOnlyList<AttachedSae> layers) => _layers = layers;

    /// <summary>The transcoder of a layer.</summary>
    public AttachedSae this[int layer] => _layers[layer];

    /// <summary>The number of layers.</summary>
    public int Count => _layers.Count;

    /// <summary>The transcoders in the order of their layers.</summary>
    public IEnumerator<AttachedSae> GetEnumerator() => _layers.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>A model in which every feed-forward module gives what the features of its transcoder stand for, plus the error.</summary>
    /// <inheritdoc cref="AttachedSae.SpliceInto"/>
    public LanguageModel SpliceInto(LanguageModel model, bool keepError = true) =>
        _layers.Aggregate(model, (spliced, transcoder) => transcoder.SpliceInto(spliced, keepError));
}
