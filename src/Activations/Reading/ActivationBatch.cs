namespace Ndif;

/// <summary>Rows of a collection: the values of sites at tokens.</summary>
public sealed class ActivationBatch
{
    private readonly IReadOnlyDictionary<string, TensorData> _values;

    internal ActivationBatch(
        IReadOnlyDictionary<string, TensorData> values, ReadOnlyMemory<long> texts, ReadOnlyMemory<int> tokens,
        ReadOnlyMemory<int> positions) =>
        (_values, Texts, Tokens, Positions) = (values, texts, tokens, positions);

    /// <summary>The number of rows.</summary>
    public int Rows => Texts.Length;

    /// <summary>The number of each row's text in the dataset. [rows]</summary>
    public ReadOnlyMemory<long> Texts { get; }

    /// <summary>The id of each row's token. [rows]</summary>
    public ReadOnlyMemory<int> Tokens { get; }

    /// <summary>The position of each row's token in its text, from 0. [rows]</summary>
    public ReadOnlyMemory<int> Positions { get; }

    /// <summary>The values at a site. [rows, ...]</summary>
    /// <exception cref="ArgumentException">The site was not read.</exception>
    public TensorData this[string site] => _values.TryGetValue(site, out TensorData? values) ? values
        : throw new ArgumentException($"The batch has no `{site}`; it has {string.Join(", ", _values.Keys.Select(name => $"`{name}`"))}.");
}
