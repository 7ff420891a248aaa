using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Python's str.replace().</summary>
internal static class TextReplacer
{
    /// <param name="text">The text.</param>
    /// <param name="oldValue">The text that is replaced. If it is empty, the new text goes between all characters.</param>
    /// <param name="newValue">The new text.</param>
    /// <param name="maxCount">The largest number of replacements; negative for all.</param>
    /// <param name="budget">The limits of the rendering.</param>
    public static string Replace(string text, string oldValue, string newValue, long maxCount, RenderBudget budget)
    {
        List<string> parts = oldValue.Length > 0 ? TextSplitter.Split(text, oldValue, maxCount) : SplitCharacters(text, maxCount);
        budget.CountOutput(text.Length + (long)parts.Count * newValue.Length);
        return string.Join(newValue, parts);
    }

    private static List<string> SplitCharacters(string text, long maxCount)
    {
        if (maxCount == 0) return [text];
        List<string> parts = [""];
        StringBuilder rest = new();
        foreach (string character in CodePoints.Split(text).Cast<string>())
        {
            if (maxCount < 0 || parts.Count < maxCount) parts.Add(character);
            else rest.Append(character);
        }
        if (maxCount < 0 || parts.Count < maxCount) parts.Add("");
        else parts.Add(rest.ToString());
        // Every character but the last is followed by the new text, so the first part is before the first character.
        return parts;
    }
}
