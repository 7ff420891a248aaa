namespace Ndif.Tokenizers.Chat;

/// <summary>
/// The exception that is thrown when a template cannot be parsed or rendered. <see cref="ChatTemplate"/> converts it to a
/// <see cref="TokenizerFormatException"/> with the location of the template.
/// </summary>
internal sealed class ChatTemplateException(string reason, Exception? inner = null) : Exception(reason, inner);
