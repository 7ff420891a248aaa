global using Ndif.Tokenizers.Chat.Expressions;
global using Ndif.Tokenizers.Chat.Filters;
global using Ndif.Tokenizers.Chat.Methods;
global using Ndif.Tokenizers.Chat.Scopes;
global using Ndif.Tokenizers.Chat.Statements;
global using Ndif.Tokenizers.Chat.Syntax;
global using Ndif.Tokenizers.Chat.Text;
global using Ndif.Tokenizers.Chat.Values;
