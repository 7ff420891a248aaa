namespace Ndif.Activations;

/// <summary>The names of the columns, or tensors, that say which token each row of a shard is.</summary>
internal static class IndexColumns
{
    /// <summary>The number of the text in the dataset. int64</summary>
    public const string Text = "text";

    /// <summary>The id of the token. int32</summary>
    public const string Token = "token";

    /// <summary>The position of the token in its text, from 0. int32</summary>
    public const string Position = "position";
}
