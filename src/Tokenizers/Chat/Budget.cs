namespace Ndif.Tokenizers.Chat;

/// <summary>
/// What one rendering may use. A template comes with a model, from anyone; it cannot reach anything but its variables, and this ends what
/// would run, or grow, without end.
/// </summary>
internal sealed class Budget
{
    public const int Steps = 1_000_000, Length = 64_000_000, Depth = 100;

    private int _steps;
    private long _length;

    /// <summary>One evaluation, or one round of a loop.</summary>
    public void Step()
    {
        if (++_steps > Steps) throw new ChatTemplateException($"it takes more than {Steps} steps");
    }

    /// <summary>A text or list that is looked through from its beginning to its end.</summary>
    public void Read(object? value) => Make(value is string text ? text.Length : value is System.Collections.ICollection items ? items.Count : 0);

    /// <summary>A text or list that was made.</summary>
    public void Make(long length)
    {
        if ((_length += length) > Length) throw new ChatTemplateException($"it handles more than {Length} characters");
    }

    public string Make(string text)
    {
        Make(text.Length);
        return text;
    }
}

/// <summary>A template cannot be read or rendered; caught and told with its place by <see cref="ChatTemplate"/>.</summary>
internal sealed class ChatTemplateException(string reason, Exception? inner = null) : Exception(reason, inner);
